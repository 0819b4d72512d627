"""A forked child tells nothing that is its parent's, and waits for none of its locks."""

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Outcome, Verdict
from litellm_cancel_otel._telemetry import board as boards
from litellm_cancel_otel._telemetry.board import _BOARDS
from litellm_cancel_otel._telemetry.instruments import Instruments
from support.forking import in_child
from support.recording import ENDING, FACTS, TIMES
from support.telemetry import Telemetry
from support.ticking import opened

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

OPEN = ENDING._replace(times=TIMES._replace(upstream_closed=None), upstream_open=True)
WASTED = ENDING._replace(verdict=Verdict(Outcome.COMPLETED), undelivered=3, wasted=0.5)


def told(telemetry: Telemetry) -> dict[str, int]:
    """Return how much was said of a late close and of tokens, and in how many spans."""
    return {
        "spans": len(telemetry.spans),
        "closes": sum(value for _, value in telemetry.points(sc.TO_UPSTREAM_CLOSE)),
        "tokens": sum(value for _, value in telemetry.points(sc.UNDELIVERED_TOKENS)),
    }


@pytest.mark.parametrize("end", ["closed", "give_up", "flush", "close"])
def test_late_close_is_the_parents_alone(telemetry: Telemetry, end: str) -> None:
    recorder = telemetry.tracker.recorder
    late = recorder.record(OPEN, Context())
    assert late is not None
    ways: dict[str, Callable[[], object]] = {
        "closed": lambda: late.closed(15.0),
        "give_up": late.give_up,
        "flush": telemetry.callback.flush,
        "close": telemetry.callback.close,
    }

    def child() -> dict[str, int]:
        ways[end]()
        late.closed(16.0)
        return told(telemetry)

    assert in_child(child) == {"spans": 0, "closes": 0, "tokens": 0}
    late.closed(15.0)
    assert told(telemetry) == {"spans": 1, "closes": 1, "tokens": 0}


def test_close_after_the_span_was_let_go_is_the_parents_alone(telemetry: Telemetry) -> None:
    late = telemetry.tracker.recorder.record(OPEN, Context())
    assert late is not None
    late.give_up()

    def child() -> int:
        late.closed(15.0)
        return told(telemetry)["closes"]

    assert in_child(child) == 0
    late.closed(15.0)
    assert told(telemetry)["closes"] == 1


def test_childs_own_late_close_is_told(telemetry: Telemetry) -> None:
    def child() -> dict[str, int]:
        late = telemetry.tracker.recorder.record(OPEN, Context())
        assert late is not None
        late.closed(15.0)
        return told(telemetry)

    assert in_child(child) == {"spans": 1, "closes": 1, "tokens": 0}


def test_length_of_an_answer_that_is_not_known_yet_is_the_parents_alone(
    telemetry: Telemetry,
) -> None:
    recorder = telemetry.tracker.recorder
    recorder.record(WASTED, None)

    def child() -> int:
        recorder.used("id", 100)
        return told(telemetry)["tokens"]

    assert in_child(child) == 0
    recorder.used("id", 100)
    assert told(telemetry)["tokens"] == 50


def test_totals_are_the_parents_also_of_one_that_closed() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    closed = Instruments(provider, "1", Faults(), max_models=2)
    key = closed.key(FACTS)
    closed.count(key, Outcome.COMPLETED)
    closed.guarded(key, "checkpoint")
    closed.faults.note("here", ValueError())
    closed.close()
    del closed
    gc.collect()

    def child() -> list[object]:
        data = reader.get_metrics_data()
        before = [] if data is None else [str(data)]
        mine = Instruments(provider, "1", Faults(), max_models=2)
        mine.count(key, Outcome.COMPLETED)
        data = reader.get_metrics_data()
        assert data is not None
        counts = {
            metric.name: sum(point.value for point in metric.data.data_points)  # type: ignore[union-attr]
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
        }
        return [before, counts.get(sc.CALLS.name), counts.get(sc.INTERNAL_ERRORS.name)]

    assert in_child(child) == [[], 1, 0]


@contextmanager
def held_by_another_thread(lock: Any) -> Iterator[None]:
    """Hold a lock meanwhile: a child that is forked now has it held by nobody, for ever."""
    held, over = threading.Event(), threading.Event()

    def holds() -> None:
        with lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=holds)
    thread.start()
    try:
        assert held.wait(10)
        yield
    finally:
        over.set()
        thread.join()


def test_totals_that_another_thread_was_adding_to(telemetry: Telemetry) -> None:
    def child() -> list[int]:
        instruments = telemetry.tracker.recorder.instruments
        instruments.count(instruments.key(FACTS), Outcome.COMPLETED)
        opened(telemetry)
        return [telemetry.outcomes()["completed"], telemetry.open_streams()]

    with held_by_another_thread(telemetry.tracker.recorder.instruments._board.lock):
        assert in_child(child) == [1, 1]


def test_telemetry_that_another_thread_was_making(telemetry: Telemetry) -> None:
    def child() -> bool:
        provider = MeterProvider()
        Instruments(provider, "1", Faults(), max_models=2)
        return id(provider) in _BOARDS

    with held_by_another_thread(boards._creating):
        assert in_child(child) is True


def test_note_that_another_thread_was_settling(telemetry: Telemetry) -> None:
    def child() -> int:
        call = opened(telemetry)
        call.dropped()
        telemetry.tracker.notes.settle()
        return len(telemetry.spans)

    with held_by_another_thread(telemetry.tracker.notes._settling):
        assert in_child(child) == 1
