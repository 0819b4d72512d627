"""How an entry point is watched: its code becomes a trampoline, what it decorates is wrapped.

An application may hold ``acompletion`` from long before the telemetry was created, so replacing
``litellm.acompletion`` would miss it. The function object stays; its code is exchanged for a
trampoline that awaits the original. Inside LiteLLM's ``@client`` decorator, one level further in,
the decorated function is a closure cell, whose content is exchanged.
"""

from collections.abc import Callable, Coroutine
from functools import lru_cache
from types import CellType, CodeType, FunctionType
from typing import Any, Final

from .patching import SeamMissing, Undo

Original = Callable[..., Coroutine[Any, Any, Any]]
Watched = Callable[[tuple[Any, ...], dict[str, Any]], Coroutine[Any, Any, Any]]

TRAMPOLINE: Final = "<litellm-cancel-otel>"
"""The file that the trampolines' code says it is from."""

_SLOT: Final = "_litellm_cancel_otel"
_CELL: Final = "original_function"
"""LiteLLM's name for what it decorates, where the function itself is not in a cell any more."""


def exchange_code(function: FunctionType, watch: Callable[[Original], Watched]) -> Undo:
    """Have calls of a function go through what ``watch`` makes of its original."""
    code, kwdefaults = function.__code__, function.__kwdefaults__
    original = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = kwdefaults
    trampoline = _trampoline(code)
    function.__code__ = trampoline
    # A default of the function's own carries what the trampoline calls: LiteLLM's module
    # globals, which its code would otherwise look names up in, stay as they are.
    function.__kwdefaults__ = {_SLOT: watch(original)}

    def undo() -> None:
        if function.__code__ is trampoline:
            function.__code__ = code
            function.__kwdefaults__ = kwdefaults

    return undo


def _trampoline(code: CodeType) -> CodeType:
    """Return code that may stand in for another: same name, same closure cells."""
    entry = _entry(code.co_freevars)
    return entry.replace(co_name=code.co_name, co_qualname=code.co_qualname)


@lru_cache(maxsize=16)
def _entry(cells: tuple[str, ...]) -> CodeType:
    source = "\n".join(
        [
            f"def outer({', '.join(cells)}):",
            f"    async def entry(*args, {_SLOT}, **kwargs):",
            *(f"        if False: {cell}" for cell in cells),  # makes it a cell, costs nothing
            f"        return await {_SLOT}(args, kwargs)",
        ]
    )
    module = compile(source, TRAMPOLINE, "exec")
    outer = next(const for const in module.co_consts if isinstance(const, CodeType))
    return next(const for const in outer.co_consts if isinstance(const, CodeType))


def is_exchanged(function: FunctionType) -> bool:
    """Return whether a function's code is a trampoline now."""
    return function.__code__.co_filename == TRAMPOLINE


def decorated_cell(function: FunctionType) -> CellType:
    """Return the cell that holds what ``@client`` decorates; SeamMissing where there is none."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    decorated = getattr(function, "__wrapped__", None)
    for cell in cells.values():
        if decorated is not None and cell.cell_contents is decorated:
            return cell
    if _CELL in cells:
        return cells[_CELL]
    raise SeamMissing("LiteLLM's @client keeps the function that it decorates in no closure cell")


def exchange_content(cell: CellType, watch: Callable[[Original], Original]) -> Undo:
    """Have a cell hold what ``watch`` makes of the function in it."""
    original = cell.cell_contents
    watched = watch(original)
    cell.cell_contents = watched

    def undo() -> None:
        if cell.cell_contents is watched:
            cell.cell_contents = original

    return undo
