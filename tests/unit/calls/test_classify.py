"""The verdict: a table, row by row, and what holds for any evidence at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_cancel_otel._calls.classify import classify
from litellm_cancel_otel._contract.records import (
    EndedBy,
    Evidence,
    Exit,
    Outcome,
    Phase,
    Signal,
    Source,
    Verdict,
)

RETURNED, RAISED = Evidence(Exit.RETURNED), Evidence(Exit.RAISED)
CANCELLED = Evidence(Exit.CANCELLED, cancelling_rise=1, delivered=True, cancelled_within=True)
CLOSED, DROPPED = Evidence(Exit.CLOSED), Evidence(Exit.DROPPED)
INTERNAL = Evidence(Exit.CANCELLED, cancelled_within=True)

# what was seen | external | source | phase | signal | ended_by
CANCELS = {
    "cancel": (CANCELLED, True, "task_cancel", "request", "cancel", "exception"),
    "cancel told twice": (
        CANCELLED._replace(cancelling_rise=2),
        *(True, "task_cancel", "request", "cancel", "exception"),
    ),
    "cancel of a stream": (
        CANCELLED._replace(chunks=3),
        *(True, "task_cancel", "streaming", "cancel", "exception"),
    ),
    "cancel while it closes": (
        CANCELLED._replace(chunks=3, closing=True),
        *(True, "task_cancel", "closing", "cancel", "exception"),
    ),
    "deadline": (
        CANCELLED._replace(deadline=True),
        *(True, "deadline", "request", "cancel", "exception"),
    ),
    "shutdown": (
        CANCELLED._replace(shutdown=True),
        *(True, "shutdown", "request", "cancel", "exception"),
    ),
    "shutdown after a deadline": (
        CANCELLED._replace(shutdown=True, deadline=True),
        *(True, "shutdown", "request", "cancel", "exception"),
    ),
    "client gone": (
        CANCELLED._replace(chunks=1, disconnect=Signal.ASGI_RECEIVE),
        *(True, "client_disconnect", "streaming", "asgi_receive", "exception"),
    ),
    "client gone and a deadline": (
        CANCELLED._replace(disconnect=Signal.ASGI_SEND, deadline=True),
        *(True, "client_disconnect", "request", "asgi_send", "exception"),
    ),
    "aclose": (CLOSED, True, "aclose", "request", "aclose", "aclose"),
    "aclose of a stream": (
        CLOSED._replace(chunks=1, closing=True),
        *(True, "aclose", "streaming", "aclose", "aclose"),
    ),
    "aclose on a disconnect": (
        CLOSED._replace(chunks=1, disconnect=Signal.ASGI_SEND),
        *(True, "client_disconnect", "streaming", "asgi_send", "aclose"),
    ),
    "closed by the guard": (
        CLOSED._replace(chunks=1, by_guard=True, driver_done=True),
        *(True, "abandoned", "streaming", "task_done", "guard"),
    ),
    "closed by the guard on a disconnect": (
        CLOSED._replace(chunks=1, by_guard=True, disconnect=Signal.ASGI_RECEIVE),
        *(True, "client_disconnect", "streaming", "asgi_receive", "guard"),
    ),
    "dropped": (DROPPED, True, "abandoned", "request", "gc", "gc"),
    "dropped by a task that is done": (
        DROPPED._replace(chunks=1, driver_done=True),
        *(True, "abandoned", "streaming", "task_done", "gc"),
    ),
    "dropped on a disconnect": (
        DROPPED._replace(chunks=1, disconnect=Signal.ASGI_SEND),
        *(True, "client_disconnect", "streaming", "asgi_send", "gc"),
    ),
    "dropped as its driver unwinds from a cancel": (
        DROPPED._replace(chunks=1, cancelling_rise=1),
        *(True, "task_cancel", "streaming", "cancel", "exception"),
    ),
    "dropped after its driver was done with a cancel": (
        DROPPED._replace(chunks=1, cancelling_rise=1, driver_done=True),
        *(True, "abandoned", "streaming", "task_done", "gc"),
    ),
    "aclose as its driver unwinds from a cancel": (
        CLOSED._replace(chunks=1, cancelling_rise=1),
        *(True, "task_cancel", "streaming", "cancel", "aclose"),
    ),
    "aclose after its driver was done with a cancel": (
        CLOSED._replace(chunks=1, cancelling_rise=1, driver_done=True),
        *(True, "aclose", "streaming", "task_done", "aclose"),
    ),
    "closed by the guard, whose own task was told to stop": (
        CLOSED._replace(chunks=1, cancelling_rise=1, by_guard=True),
        *(True, "abandoned", "streaming", "aclose", "guard"),
    ),
    "internal": (INTERNAL, False, "provider", "request", "cancel", "exception"),
    "internal in a stream": (
        INTERNAL._replace(chunks=1),
        *(False, "provider", "streaming", "cancel", "exception"),
    ),
    "internal behind another error": (
        RAISED._replace(cancelled_within=True),
        *(False, "provider", "request", "cancel", "exception"),
    ),
    "internal, with an older cancel taken back": (
        INTERNAL._replace(cancelling_rise=-1),
        *(False, "provider", "request", "cancel", "exception"),
    ),
}

ENDS = {
    "result": (RETURNED, Verdict(Outcome.COMPLETED)),
    "error": (RAISED, Verdict(Outcome.ERROR)),
    "told to stop too late to be thrown in": (
        RETURNED._replace(cancelling_rise=1),
        Verdict(Outcome.COMPLETED),
    ),
    "result in spite of a cancel": (
        RETURNED._replace(cancelling_rise=1, delivered=True),
        Verdict(Outcome.COMPLETED, swallowed=True),
    ),
    "error in spite of a cancel": (
        RAISED._replace(cancelling_rise=1, delivered=True, cancelled_within=True),
        Verdict(Outcome.ERROR, swallowed=True),
    ),
    "a cancel that was taken back": (
        RETURNED._replace(delivered=True),
        Verdict(Outcome.COMPLETED),
    ),
}


@pytest.mark.parametrize("row", CANCELS.values(), ids=list(CANCELS))
def test_cancel(row: tuple[Evidence, bool, str, str, str, str]) -> None:
    seen, external, source, phase, signal, ended_by = row

    assert classify(seen) == Verdict(
        Outcome.CANCELLED,
        external=external,
        source=Source(source),
        phase=Phase(phase),
        signal=Signal(signal),
        ended_by=EndedBy(ended_by),
    )


@pytest.mark.parametrize(("seen", "verdict"), ENDS.values(), ids=list(ENDS))
def test_end(seen: Evidence, verdict: Verdict) -> None:
    assert classify(seen) == verdict


anything = st.builds(
    Evidence,
    exit=st.sampled_from(Exit),
    cancelling_rise=st.integers(-2, 3),
    delivered=st.booleans(),
    cancelled_within=st.booleans(),
    chunks=st.integers(0, 2),
    closing=st.booleans(),
    deadline=st.booleans(),
    shutdown=st.booleans(),
    disconnect=st.none() | st.sampled_from(Signal),
    driver_done=st.booleans(),
    by_guard=st.booleans(),
    whole=st.just(False),
    backoff=st.booleans(),
)


@given(anything)
def test_external_is_told_to_stop_or_closed_or_dropped(seen: Evidence) -> None:
    verdict = classify(seen)

    if seen.exit in (Exit.CLOSED, Exit.DROPPED):
        assert verdict.external
    else:
        assert verdict.external == (seen.exit is Exit.CANCELLED and seen.cancelling_rise > 0)


@given(anything)
def test_cancel_has_all_its_words_and_nothing_else_has_any(seen: Evidence) -> None:
    verdict = classify(seen)
    words = (verdict.source, verdict.phase, verdict.signal, verdict.ended_by)

    if verdict.outcome is Outcome.CANCELLED:
        assert None not in words
        assert not verdict.swallowed
    else:
        assert words == (None, None, None, None)
        assert not verdict.external


@given(anything)
def test_provider_is_the_source_of_internal_cancels_alone(seen: Evidence) -> None:
    verdict = classify(seen)

    assert (verdict.source is Source.PROVIDER) == (
        verdict.outcome is Outcome.CANCELLED and not verdict.external
    )


@given(anything)
def test_swallowed_is_a_cancel_that_was_thrown_in_and_did_not_come_out(seen: Evidence) -> None:
    if classify(seen).swallowed:
        assert seen.delivered
        assert seen.cancelling_rise > 0
        assert seen.exit in (Exit.RETURNED, Exit.RAISED)


@given(anything)
def test_what_returned_never_was_cancelled_by_its_caller(seen: Evidence) -> None:
    verdict = classify(seen._replace(exit=Exit.RETURNED, cancelled_within=False))

    assert verdict.outcome is Outcome.COMPLETED


@given(anything)
def test_is_pure(seen: Evidence) -> None:
    assert classify(seen) == classify(seen._replace())
