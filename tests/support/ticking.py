"""A watchdog that ticks when a test says so, on a clock of the test's own."""

import time

import pytest

from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import CallFacts
from litellm_cancel_otel._tracking.watchdog import Watchdog
from support.telemetry import Telemetry

by_hand = pytest.mark.settings(watchdog_interval=60, guard=False)
"""The thread sleeps; the test ticks."""

FACTS = CallFacts("chat", "openai", "gpt-4o-mini", stream=True, call_id="one")


class Ticking:
    """A watchdog whose clock is in the test's hands."""

    def __init__(self, telemetry: Telemetry) -> None:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        self.dog: Watchdog = dog
        self._telemetry = telemetry
        self._ahead = 0.0
        self.dog._clock = lambda: time.perf_counter() + self._ahead

    def tick(self, later: float = 0.0) -> None:
        """Tick after that many seconds more."""
        self._ahead += later
        self.dog.tick()

    def stuck(self) -> dict[str, int]:
        """Return how many streams are stuck for which reason, as the gauge says."""
        points = self._telemetry.points(sc.STREAMS_STUCK)
        return {attributes[sc.REASON]: value for attributes, value in points}


class _Waiting:
    coro: object | None = object()


def opened(telemetry: Telemetry) -> Call:
    """Return a call whose stream somebody waits for."""
    call = telemetry.tracker.begin(Known(FACTS))
    call.opens()
    call.progress.source = _Waiting()
    return call
