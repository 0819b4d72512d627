"""What is compared: bare LiteLLM, one with an empty callback, one with this package."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import litellm
from litellm.integrations.custom_logger import CustomLogger
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from litellm_cancel_otel import CancelTelemetry, Settings


class Side(Enum):
    """How LiteLLM runs."""

    BARE = "bare"
    AGAIN = "bare again"
    """The same once more: what differs is the noise."""
    EMPTY = "empty CustomLogger"
    WATCHED = "this package"


CHUNK = 0.0003
"""Seconds that one chunk takes bare."""


@contextmanager
def running(side: Side, *, counted: bool = False) -> Iterator[CancelTelemetry | None]:
    """Run the block on one side, registered as the README says.

    What is ``counted`` runs some fifty times slower than by itself, and a backlog lets the loop run
    by the clock: so the package is given a clock that goes on by one chunk's time whenever it is
    read. The watchdog, which asks the loop once a second how late it is, is off for as long.
    """
    if side is Side.EMPTY:
        litellm.callbacks = [CustomLogger()]
    if side is not Side.WATCHED:
        try:
            yield None
        finally:
            litellm.logging_callback_manager._reset_all_callbacks()
        return
    with CancelTelemetry(
        tracer_provider=TracerProvider(),
        meter_provider=MeterProvider([InMemoryMetricReader()]),
        settings=Settings(watchdog=not counted),
    ) as telemetry:
        if counted:
            telemetry._tracker.clock = itertools.count(time.perf_counter(), CHUNK).__next__
        litellm.callbacks = [telemetry]
        try:
            yield telemetry
        finally:
            litellm.logging_callback_manager._reset_all_callbacks()
