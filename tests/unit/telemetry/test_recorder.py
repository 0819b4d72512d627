"""Endings as spans and measurements, with clocks of the tests' own: every time is exact."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry.context import Context

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import (
    Ending,
    Outcome,
    Reason,
    Stuck,
    Times,
    Verdict,
)
from support.recording import ENDING, FACTS, INTERNAL, NOW_NS, TIMES, Recording


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A wall clock that says one time."""
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)
    yield


def wall(moment: float) -> int:
    return NOW_NS - round((20.0 - moment) * 1e9)


def test_span_of_an_external_cancel(clock: None) -> None:
    recording = Recording()

    assert recording.recorder.record(ENDING, None) is None

    (span,) = recording.spans
    assert span.name == "chat gpt-4o"
    assert (span.start_time, span.end_time) == (wall(10.0), wall(14.0))
    assert [(event.name, event.timestamp) for event in span.events] == [
        ("first_chunk", wall(11.0)),
        ("disconnect", wall(13.0)),
        ("cancel_delivered", wall(13.25)),
        ("upstream_closed", wall(13.5)),
    ]
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2024",
        "server.address": "example.org",
        "server.port": 443,
        "litellm.call_id": "id",
        "litellm_cancel.chunks": 7,
        "litellm_cancel.chunks.undelivered": 0,
        "litellm_cancel.delivered": 1.0,
        "cancellation_type": "external",
        "litellm_cancel.source": "task_cancel",
        "litellm_cancel.phase": "streaming",
        "litellm_cancel.signal": "cancel",
        "litellm_cancel.ended_by": "exception",
        "litellm_cancel.disconnect_to_finally": 1.0,
        "litellm_cancel.disconnect_to_upstream_close": 0.5,
    }
    assert span.status.status_code.name == "UNSET"
    scope = span.instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version, scope.schema_url) == (sc.SCOPE, "1", sc.SCHEMA_URL)


def test_span_of_an_internal_cancel(clock: None) -> None:
    recording = Recording()
    recording.recorder.record(ENDING._replace(verdict=INTERNAL), None)

    (span,) = recording.spans

    assert span.status.status_code.name == "ERROR"
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert (span.attributes or {})["cancellation_type"] == "azure_internal"


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.ERROR])
def test_what_was_no_cancel_has_no_span(outcome: Outcome) -> None:
    recording = Recording()
    recording.recorder.record(ENDING._replace(verdict=Verdict(outcome)), None)

    assert recording.spans == ()
    ((point),) = recording.points(sc.CALLS)
    assert (point.attributes["outcome"], point.value) == (outcome, 1)


def test_error_has_a_span_where_all_have(clock: None) -> None:
    recording = Recording("all")
    ending = ENDING._replace(verdict=Verdict(Outcome.ERROR), error_type="RateLimitError")
    recording.recorder.record(ending, None)

    (span,) = recording.spans

    assert span.status.status_code.name == "ERROR"
    assert (span.attributes or {})["error.type"] == "RateLimitError"
    assert [event.name for event in span.events] == ["first_chunk"]


def test_cancel_is_measured_where_none_has_a_span() -> None:
    recording = Recording("none")
    recording.recorder.record(ENDING, None)

    assert recording.spans == ()
    assert len(recording.points(sc.CANCELLATIONS)) == 1


@pytest.mark.parametrize(
    ("metric", "seconds"),
    [(sc.TO_FINALLY, 1.0), (sc.TO_UPSTREAM_CLOSE, 0.5), (sc.TIME_TO_CANCEL, 3.0)],
)
def test_latency(metric: sc.Metric, seconds: float) -> None:
    recording = Recording()
    recording.recorder.record(ENDING, None)

    (point,) = recording.points(metric)

    assert (point.sum, point.count) == (seconds, 1)
    assert point.explicit_bounds == sc.LATENCY_BUCKETS


def test_exemplars_carry_the_spans_trace() -> None:
    recording = Recording()
    recording.recorder.record(ENDING, None)
    (span,) = recording.spans
    context = span.get_span_context()
    assert context is not None

    metrics = recording.metrics()
    for metric in (sc.CANCELLATIONS, sc.TO_FINALLY, sc.TO_UPSTREAM_CLOSE, sc.TIME_TO_CANCEL):
        (point,) = metrics[metric.name].data.data_points
        assert [exemplar.span_id for exemplar in point.exemplars] == [context.span_id]


def test_late_close_is_on_the_span_and_in_the_metric(clock: None) -> None:
    recording = Recording()
    times = TIMES._replace(upstream_closed=None)
    late = recording.recorder.record(ENDING._replace(times=times, upstream_open=True), None)
    assert late is not None
    assert not list(recording.spans)

    late.closed(15.0)

    (span,) = recording.spans
    assert (span.attributes or {})[sc.DISCONNECT_TO_UPSTREAM_CLOSE] == 2.0
    assert (span.start_time, span.end_time) == (wall(10.0), wall(14.0))
    assert (span.events[-1].name, span.events[-1].timestamp) == ("upstream_closed", wall(15.0))
    assert recording.points(sc.TO_UPSTREAM_CLOSE)[0].sum == 2.0


def test_late_close_keeps_the_times_of_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock may be set while a span waits: its end must not move before its events."""
    recording = Recording()
    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS)
    late = recording.recorder.record(ENDING._replace(upstream_open=True), None)
    assert late is not None

    monkeypatch.setattr(time, "time_ns", lambda: NOW_NS - 3_600_000_000_000)
    late.closed(15.0)

    (span,) = recording.spans
    assert (span.start_time, span.end_time) == (wall(10.0), wall(14.0))


def test_span_that_is_given_up_says_nothing_of_a_close(clock: None) -> None:
    recording = Recording()
    times = TIMES._replace(upstream_closed=None)
    late = recording.recorder.record(ENDING._replace(times=times, upstream_open=True), None)
    assert late is not None

    late.give_up()

    (span,) = recording.spans
    assert sc.DISCONNECT_TO_UPSTREAM_CLOSE not in (span.attributes or {})
    late.closed(19.0)  # the metric still learns of it
    assert recording.points(sc.TO_UPSTREAM_CLOSE)[0].sum == 6.0


def test_flush_gives_up_what_waits() -> None:
    recording = Recording()
    recording.recorder.record(ENDING._replace(upstream_open=True), None)

    recording.recorder.flush()

    assert len(recording.spans) == 1


def test_parent_is_the_callers_context() -> None:
    recording = Recording()
    recording.recorder.record(ENDING, Context())

    (span,) = recording.spans

    assert span.parent is None


def test_swallowed_cancel_is_counted() -> None:
    recording = Recording()
    swallowed = Verdict(Outcome.COMPLETED, swallowed=True)
    recording.recorder.record(ENDING._replace(verdict=swallowed), None)

    (point,) = recording.points(sc.SWALLOWED)

    assert (point.value, point.attributes[sc.SEAM]) == (1, "call")


def test_models_past_the_limit_are_other() -> None:
    recording = Recording()
    for model in ("one", "two", "three", "four", "one"):
        facts = replace(FACTS, model=model)
        recording.recorder.record(Ending(facts, Verdict(Outcome.COMPLETED), Times(1.0, 2.0)), None)

    counts = {p.attributes[sc.REQUEST_MODEL]: p.value for p in recording.points(sc.CALLS)}

    assert counts == {"one": 2, "two": 1, sc.OTHER: 2}


def test_what_is_open_is_not_reported_once_closed() -> None:
    recording = Recording()
    recording.instruments.opened(recording.instruments.key(FACTS))
    recording.recorder.close()

    assert recording.points(sc.STREAMS_OPEN) == []
    assert recording.points(sc.OLDEST_AFTER_DISCONNECT) == []
    (last_word,) = recording.points(sc.INTERNAL_ERRORS)
    assert last_word.attributes == {sc.SEAM: sc.STOPPED}


def test_internal_errors_are_zero_before_there_are_any() -> None:
    recording = Recording()
    (point,) = recording.points(sc.INTERNAL_ERRORS)
    assert point.value == 0

    recording.faults.note("a place", ValueError())

    assert [p.value for p in recording.points(sc.INTERNAL_ERRORS)] == [1]


def test_every_instrument_is_of_the_contract() -> None:
    recording = Recording()
    recording.recorder.record(ENDING, None)
    units = {metric.name: metric.unit for metric in sc.METRICS}

    found = {name: metric.unit for name, metric in recording.metrics().items()}

    assert found.items() <= units.items()
    assert len(found) >= 6


def test_events_stand_in_the_order_of_their_times() -> None:
    recording = Recording()
    stuck = Stuck(Reason.NO_CHUNK, since=11.0, found=12.0)
    ending = ENDING._replace(stuck=(stuck,), actions=(("checkpoint", 11.5), ("checkpoint", 13.1)))
    recording.recorder.record(ending, None)
    (span,) = recording.spans
    names = [event.name.rpartition(".")[2] for event in span.events]
    assert names == [
        *("first_chunk", "guard", "stuck", "disconnect", "guard"),
        *("cancel_delivered", "upstream_closed"),
    ]
