"""The record of a fate: who plays the caller, what the provider does, what must come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from litellm_cancel_otel._demo.fakes import Script

from ..expect import Expect
from ..seat import Seat

PIECES = 2
"""Pieces of text of a short answer, and those before the provider falls silent."""

SHORT = Script(chunks=PIECES)
MID_STREAM = Script(chunks=PIECES, hang_at=PIECES)
BEFORE_BYTE = Script(hang_at="before_headers")
BEFORE_CHUNK = Script(hang_at="before_first_chunk")
HALF_A_BODY = Script(hang_at=1)


@dataclass(frozen=True, slots=True)
class Fate:
    """One way for a call to end. The scripts are drawn from by luck."""

    name: str
    play: Callable[[Seat], Coroutine[Any, Any, str]] | None
    scripts: tuple[Script, ...]
    expected: Mapping[str, Expect]
    weight: int = 4
    """How often it is drawn, beside the others."""
    play_alone: Callable[[Seat, asyncio.Runner], str] | None = None
    """Instead of ``play``, for a caller to whom the whole loop belongs."""
