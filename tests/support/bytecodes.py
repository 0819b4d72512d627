"""Counts bytecodes: what does not depend on the machine's load."""

import sys
from types import FrameType
from typing import Any


class Bytecodes:
    """Counts the bytecodes that this thread executes in the block."""

    def __init__(self) -> None:
        self.count = 0

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes = True
        self.count += event == "opcode"
        return self._trace

    def __enter__(self) -> "Bytecodes":
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
