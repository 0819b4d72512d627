"""Durations and wall-clock times, with clocks of the tests' own."""

from hypothesis import given
from hypothesis import strategies as st

from litellm_cancel_otel._contract.records import Times
from litellm_cancel_otel._telemetry.timeline import since_cancel, time_to_cancel, wall_clock

moments = st.floats(0, 1e6, allow_nan=False)


def test_since_disconnect() -> None:
    assert since_cancel(Times(0.0, 3.0, cancelled=1.0), 2.5) == 1.5


def test_since_disconnect_of_what_is_unknown() -> None:
    assert since_cancel(Times(0.0, 3.0), 2.5) is None
    assert since_cancel(Times(0.0, 3.0, cancelled=1.0), None) is None


def test_close_that_began_before_anybody_saw_the_cancel_took_no_time() -> None:
    assert since_cancel(Times(0.0, 3.0, cancelled=2.0), 1.9) == 0.0


def test_time_to_cancel() -> None:
    assert time_to_cancel(Times(1.0, 9.0, cancelled=4.0)) == 3.0


def test_time_to_cancel_without_a_disconnect_is_to_the_end() -> None:
    assert time_to_cancel(Times(1.0, 9.0)) == 8.0


def test_wall_clock() -> None:
    assert wall_clock(4.0, 6.5, 10_000_000_000) == 7_500_000_000


@given(moments, moments, moments)
def test_durations_are_never_negative(start: float, end: float, disconnect: float) -> None:
    times = Times(start, end, cancelled=disconnect)

    assert time_to_cancel(times) >= 0
    assert (since_cancel(times, end) or 0) >= 0


@given(moments, moments, moments)
def test_wall_clock_keeps_the_order(one: float, other: float, now: float) -> None:
    early, late = sorted((one, other))

    assert wall_clock(early, now, 10**18) <= wall_clock(late, now, 10**18)
