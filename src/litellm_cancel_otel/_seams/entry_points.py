"""What there is to watch: LiteLLM's own asynchronous operations, found on the installed version.

An operation is a coroutine function of ``litellm``, or of one of its packages that keep theirs in
a ``main`` module, which LiteLLM's ``@client`` decorates. One of ``litellm`` that is not decorated
is an operation too where a synchronous function stands beside it, its name without the ``a``. What
is none all the same stands in ``not_watched``.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import litellm

from . import not_watched, whose
from .operations import WITHOUT_TWIN, Operation, operation_of, twin_of

EXPECTED: Final = (
    *("acompletion", "atext_completion", "aembedding", "aresponses", "anthropic_messages"),
    *("aimage_generation", "aimage_edit", "aimage_variation", "atranscription", "aspeech"),
    *("amoderation", "arerank", "allm_passthrough_route"),
)
"""What ``litellm`` has in every version that is supported."""

PROXY: Final = (
    "litellm.proxy.pass_through_endpoints.pass_through_endpoints",
    "pass_through_request",
)
"""A part of the LiteLLM Proxy: watched where the process has loaded it, and only then."""

DECORATOR: Final = "litellm.utils"
"""The module of ``@client``."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """An asynchronous function of LiteLLM's and the operation that it makes."""

    module: str
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    def public(self) -> Any:
        """Return what stands under its name now; AttributeError where nothing does."""
        return getattr(sys.modules[self.module], self.name)

    def functions(self) -> list[FunctionType]:
        """Return LiteLLM's functions that a call goes through, the outermost first."""
        return reached(self.public(), self.name)

    @property
    def is_decorated(self) -> bool:
        """Whether LiteLLM's ``@client`` stands around what it calls."""
        public = getattr(sys.modules.get(self.module), self.name, None)
        functions = [] if public is None else reached(public, self.name)
        return bool(functions) and is_decorated(functions[-1])


def reached(public: object, name: str) -> list[FunctionType]:
    """Return LiteLLM's coroutine functions behind a public name, down to the decorated one.

    What another package has put before them is stepped over.
    """
    function: object = whose.look(public, name).own
    found: list[FunctionType] = []
    while whose.is_litellms(function) and function not in found:
        if inspect.iscoroutinefunction(function):
            found.append(function)
            if is_decorated(function):
                break
        function = getattr(function, "__wrapped__", None)
    return found


def is_decorated(function: object) -> bool:
    """Return whether a function is one that ``@client`` has made of another."""
    return (
        whose.is_litellms(function)
        and function.__globals__.get("__name__") == DECORATOR
        and inspect.iscoroutinefunction(getattr(function, "__wrapped__", None))
    )


def discover() -> list[EntryPoint]:
    """Return every entry point of the installed LiteLLM, in the order in which it is found."""
    taken: set[int] = set()
    found: list[EntryPoint] = []
    for module, name, public in _candidates():
        functions = reached(public, name)
        if functions and taken.isdisjoint(map(id, functions)):
            taken.update(map(id, functions))
            found.append(_entry(module, name, functions[-1]))
    names = {one.name for one in found}
    missing = [name for name in EXPECTED if name not in names or not hasattr(litellm, name)]
    return found + [EntryPoint("litellm", name, Operation(name)) for name in missing]


def _entry(module: ModuleType, name: str, function: FunctionType) -> EntryPoint:
    twin = twin_of(name, vars(module))
    return EntryPoint(module.__name__, name, operation_of(module.__name__, name, function, twin))


def _candidates() -> Iterator[tuple[ModuleType, str, object]]:
    public = vars(litellm)
    for name, value in list(public.items()):
        if name in not_watched.FUNCTIONS or name.startswith("_"):
            continue
        usual = name in EXPECTED or name in WITHOUT_TWIN or twin_of(name, public) is not None
        # Who looks behind something else's maker looks long: only where an operation's name is.
        functions = reached(value, name) if usual or whose.is_litellms(value) else []
        if functions and (usual or is_decorated(functions[-1])):
            yield litellm, name, value
    for module in _modules():
        for name, value in list(vars(module).items()):
            if is_decorated(value) and name not in not_watched.FUNCTIONS:
                yield module, name, value
    if PROXY[0] in sys.modules and hasattr(sys.modules[PROXY[0]], PROXY[1]):
        yield sys.modules[PROXY[0]], PROXY[1], getattr(sys.modules[PROXY[0]], PROXY[1])


def _modules() -> list[ModuleType]:
    """Return the loaded modules of the packages that keep operations, the outermost first."""
    for name in _packages():
        try:
            importlib.import_module(f"{name}.main")
        except Exception:  # noqa: BLE001 - it lacks a library, so nobody can call it either
            continue
    homes = {name.removesuffix(".main") for name in sys.modules if _is_main(name)}
    below = tuple(f"{home}." for home in homes)
    found = [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType)
        and not _left_out(name)
        and (name in homes or name.startswith(below))
    ]
    return [litellm.main, *sorted(found, key=lambda one: (one.__name__.count("."), one.__name__))]


def _packages() -> list[str]:
    folder = Path(litellm.__file__).parent
    names = [f"litellm.{path.parent.name}" for path in sorted(folder.glob("*/main.py"))]
    return [name for name in names if not _left_out(name)]


def _is_main(name: str) -> bool:
    return name.startswith("litellm.") and name.endswith(".main") and name.count(".") > 1


def _left_out(name: str) -> bool:
    return f"{name}.".startswith(tuple(f"{one}." for one in (*not_watched.PACKAGES, *_OTHERS)))


_OTHERS: Final = ("litellm.proxy", "litellm.llms", "litellm.experimental_mcp_client")
"""Packages of LiteLLM's that are used by its operations, and by nobody else."""
