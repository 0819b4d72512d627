"""Counts what a thread executes: bytecodes and calls of functions, which no other load disturbs."""

import os
import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Self

import litellm_cancel_otel
from litellm_cancel_otel._seams.exchange import TRAMPOLINE

_PACKAGE = str(Path(litellm_cancel_otel.__file__).parent) + os.sep
_DEMO = os.path.join(_PACKAGE, "_demo") + os.sep


class Cost(NamedTuple):
    """What something took."""

    bytecodes: float
    own: float
    """Those of them that are this package's."""
    calls: float
    """Calls of Python functions, a resumed coroutine among them."""

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(*(mine - its for mine, its in zip(self, other, strict=True)))

    def __truediv__(self, number: int) -> "Cost":
        return Cost(*(mine / number for mine in self))


@cache
def _is_own(filename: str) -> bool:
    return filename == TRAMPOLINE or (
        filename.startswith(_PACKAGE) and not filename.startswith(_DEMO)
    )


class Counting:
    """Counts in this thread while its block lasts."""

    def __init__(self) -> None:
        self._bytecodes = self._own = self._calls = 0

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes = True
        self._calls += 1
        return self._own_opcode if _is_own(frame.f_code.co_filename) else self._opcode

    def _opcode(self, _frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self._bytecodes += 1
        return self._opcode

    def _own_opcode(self, _frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self._bytecodes += 1
            self._own += 1
        return self._own_opcode

    @property
    def cost(self) -> Cost:
        """What was counted."""
        return Cost(self._bytecodes, self._own, self._calls)

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
