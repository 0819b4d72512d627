"""What a pattern is, and the list of them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from .application import App

Transport: TypeAlias = Literal["aiohttp", "httpx"]
Loop: TypeAlias = Literal["asyncio", "uvloop", "eager"]
TRANSPORTS: tuple[Transport, ...] = get_args(Transport)
LOOPS: tuple[Loop, ...] = get_args(Loop)

Run: TypeAlias = "Callable[[App], Awaitable[None] | None]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A small application; ``does`` says in one sentence which real ones do this."""

    name: str
    does: str
    run: Run
    transports: tuple[Transport, ...]
    loops: tuple[Loop, ...]
    needs: str
    """A public name of the package without which the pattern cannot be tried."""


_KNOWN: dict[str, Pattern] = {}


def pattern(
    *,
    transports: tuple[Transport, ...] = TRANSPORTS,
    loops: tuple[Loop, ...] = LOOPS,
    needs: str = "",
) -> Callable[[Run], Run]:
    """Make a function a pattern: a coroutine function gets a loop, any other makes its own."""

    def known(run: Run) -> Run:
        name = run.__name__
        if name in _KNOWN:
            raise ValueError(f"there are two patterns named {name}")
        does = " ".join((run.__doc__ or "").split())
        _KNOWN[name] = Pattern(name, does, run, transports, loops, needs)
        return run

    return known


def every_pattern() -> dict[str, Pattern]:
    """Return every pattern by its name."""
    package: Any = import_module(".patterns", __package__)
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return dict(_KNOWN)


def planted() -> dict[str, Pattern]:
    """Return the patterns that differ on purpose too."""
    import_module(".planted", __package__)
    return dict(_KNOWN)
