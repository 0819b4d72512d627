"""What counts as a problem of a route that a client left."""

from dataclasses import replace

from litellm_cancel_otel._appcheck.records import Checked, Left, Middleware, shown

GOOD = Left("middle", "in the middle", 0.05, 0.1, 0, 0)


def problems(left: Left) -> list[str]:
    """Return the problems with the usual limit."""
    return list(left.problems(0.05))


def test_what_is_at_the_limit_is_in_time() -> None:
    assert problems(GOOD) == []


def test_each_lateness_is_a_problem_of_its_own() -> None:
    assert problems(replace(GOOD, finally_after=0.051)) == ["the finally ran after 51 ms"]
    assert problems(replace(GOOD, finally_after=None)) == ["the finally did not run"]
    late = "the provider's connection was closed after 1.2 s"
    assert problems(replace(GOOD, closed_after=1.2)) == [late]
    assert problems(replace(GOOD, closed_after=None)) == ["the provider's connection stayed open"]


def test_a_swallowed_cancel_is_a_problem_however_fast_it_was() -> None:
    assert problems(replace(GOOD, swallowed=1)) == ["a cancel was swallowed"]
    assert replace(GOOD, swallowed=1, finally_after=0.0).lateness > GOOD.lateness


def test_a_call_that_nobody_saw_is_synchronous() -> None:
    (problem,) = problems(replace(GOOD, seen=False, finally_after=None))
    assert problem.startswith("its LiteLLM call is synchronous")


def test_the_better_of_two_attempts_is_the_one_that_ended() -> None:
    attempts = [replace(GOOD, finally_after=None), replace(GOOD, closed_after=0.2), GOOD]
    assert min(attempts, key=lambda left: left.lateness) is GOOD


def test_a_routes_problems_say_the_way() -> None:
    checked = Checked("GET /a", Middleware(()), (GOOD, replace(GOOD, closed_after=None)))
    assert checked.problems(0.05) == ["in the middle: the provider's connection stayed open"]


def test_a_duration_is_shown_in_the_unit_that_reads_best() -> None:
    assert [shown(0.0021), shown(1.26), shown(None, 2.0)] == ["2 ms", "1.3 s", "> 2 s"]
