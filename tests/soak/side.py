"""The two sides of a soak: calls that the package watches, and the same without it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._contract import semconv as sc

from ..campaign.books import Entry, Left, Told, balance
from ..campaign.plan import Plan
from ..campaign.world import SETTLING, Ears, World
from ..support.telemetry import Telemetry
from .fates import FATES, STUCK_LIMITS, WATCHED_ONLY

Side = Literal["watched", "bare"]

_SOON = 0.3
"""Seconds for what bare LiteLLM leaves open, which nothing but the batch's end closes."""


class Bare:
    """Stands where the telemetry does, and tells nothing."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.tracker = SimpleNamespace(streams={}, faults=SimpleNamespace(counts={}))
        self.callback = SimpleNamespace(flush=lambda: None)

    def points(self, _: object) -> list[Any]:
        """Return no metric."""
        return []

    def outcomes(self) -> dict[str, int]:
        """Return none."""
        return {}

    def open_streams(self) -> int:
        """Return none."""
        return 0


class Soaked(World):
    """A world whose books know that a stuck stream has a span while it is stuck, and another."""

    def __init__(self, side: Side, telemetry: Any, ears: Ears) -> None:
        super().__init__(telemetry, ears, SETTLING if side == "watched" else _SOON)
        self._side = side
        self._first_spans = 0
        self.fates = [name for name in FATES if side == "watched" or name not in WATCHED_ONLY]

    def imbalances(self, batch: Sequence[Plan], seed: int, transport: str) -> list[str]:
        """Play a batch; return what is not as it must be, which nobody knows of bare LiteLLM."""
        entries, told, left = self.play(batch, seed, transport)
        return list(self._found(batch, entries, told, left)) if self._side == "watched" else []

    def _found(
        self, batch: Sequence[Plan], entries: Sequence[Entry], told: Told, left: Left
    ) -> Iterator[str]:
        left.warnings = [line for line in left.warnings if " stuck" not in line]  # they are meant
        yield from balance(entries, told, left)
        stuck = sum(plan.fate.name == "stuck" for plan in batch)
        if self._first_spans != stuck:
            yield f"{stuck} streams were stuck, and {self._first_spans} spans said so"

    def _entries(self, plans: Sequence[Plan], got: dict[int, str]) -> list[Entry]:
        spans = self.telemetry.spans
        others = [span for span in spans if sc.STUCK not in (span.attributes or {})]
        self._first_spans = len(spans) - len(others)
        spans[:] = others
        return super()._entries(plans, got)


@contextmanager
def world(side: Side) -> Iterator[Soaked]:
    """Have LiteLLM run on one side."""
    with Ears() as ears:
        if side == "bare":
            litellm.callbacks = [CustomLogger()]  # so that LiteLLM logs its calls here, too
            yield Soaked(side, Bare(), ears)
            litellm.callbacks = []
            return
        # A socket of its own: who looks for the user's sockets with ``top`` finds none of these.
        with (
            tempfile.TemporaryDirectory() as folder,
            Telemetry(
                orphan_grace=0.05,
                watchdog_interval=0.05,
                stuck_limits=STUCK_LIMITS,
                top_socket=str(Path(folder) / "top"),
            ) as telemetry,
        ):
            litellm.callbacks = [telemetry.callback]
            yield Soaked(side, telemetry, ears)
            litellm.callbacks = []
