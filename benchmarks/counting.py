"""Counts what a piece of work executes, which does not depend on the machine's load."""

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any


class Bytecodes:
    """Counts the bytecodes that this thread executes in the block."""

    def __init__(self) -> None:
        self.count = 0

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.count += 1
        return self._trace

    def __enter__(self) -> "Bytecodes":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)


async def bytecodes_of(work: Callable[[], Awaitable[Any]]) -> tuple[int, Any]:
    """Return the bytecodes of one piece of work and what it returned."""
    with Bytecodes() as counted:
        result = await work()
    return counted.count, result
