"""An application behaves the same with the package as without it, whatever it does."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from differential.observation import Observation, differences
from differential.pattern import TRANSPORTS, every_pattern
from differential.suite import Case, Outcome, cases, compare
from support.thorough import one_of

pytestmark = pytest.mark.timeout(900)

PATTERNS = every_pattern()
SENSITIVE = (
    *("a_timeout_around_a_stream", "wait_for_nothing", "anyio_scopes", "a_task_is_cancelled_twice"),
    *("a_task_group_whose_member_fails", "a_cancel_while_it_connects", "a_stream_in_turns"),
    *("a_stream_opened_while_a_deadline_unwinds", "a_generator_goes_on_in_another_task"),
    *("a_tee_whose_one_branch_fails", "a_producer_and_a_queue", "a_dropped_generator"),
    *("a_save_under_a_shield", "a_dependency_commits", "a_background_task_reads_the_rest"),
)
"""The patterns that are run on every kind of loop; ``python -m tests.differential`` runs all."""


CASES = [
    *cases(PATTERNS.values(), TRANSPORTS, ["asyncio"]),
    *cases(
        (PATTERNS[name] for name in SENSITIVE),
        ["aiohttp"],
        ["uvloop", "eager"] if sys.version_info >= (3, 12) else ["uvloop"],
    ),
]
PLANTED = {
    "planted_nothing": None,
    "planted_value": "log: line 1: 'none' became 'package'",
    "planted_missing_line": "log: line 1 is missing: 'committed'",
    "planted_exception": "end: 'returned' became 'builtins.ValueError(a fault)'",
    "planted_cancel": "end: 'returned' became 'asyncio.exceptions.CancelledError()'",
    "planted_file": "files: {'answer': 'whole'} became {'answer': 'half'}",
    "planted_task": "tasks: [] became ['Event.wait']",
    "planted_stream": "streams left: 0 became 1",
    "planted_exchange": "exchanges left: 0 became 1",
    "planted_warning": "complaint new: ResourceWarning: a new warning",
    "planted_log_line": "complaint new: some.library WARNING: a new complaint",
    "planted_unraisable": "complaint new: unraisable: builtins.ValueError(in a destructor)",
    "planted_unretrieved": "complaint new: asyncio ERROR: Task exception was never retrieved",
    "planted_hang": "end: 'returned' became 'hang'",
    "planted_death": "end: 'returned' became 'died: ",
}
"""What each planted application must be told of."""


def marked(case: Case) -> Any:
    """Return a case as a parameter: all but the sensitive ones, over one transport, are long."""
    transport = one_of(TRANSPORTS, case.pattern)
    short = case.pattern in SENSITIVE and (case.loop, case.transport) == ("asyncio", transport)
    return pytest.param(case, marks=() if short else pytest.mark.long)


def outcomes_of(chosen: list[Case], **how: object) -> Callable[[Case], Outcome]:
    """Return what gives the outcome of a case, which all run in one warm process."""
    found: dict[Case, Outcome] = {}
    running: Iterator[Outcome] = compare(chosen, **how)

    def outcome(case: Case) -> Outcome:
        while case not in found:
            one = next(running)
            found[one.case] = one
        return found[case]

    return outcome


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Callable[[Case], Outcome]:
    """What gives the outcome of a case; only what is asked for in this run is run at all."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    asked = [spec.params["case"] for spec in specs if spec is not None and "case" in spec.params]
    return outcomes_of([case for case in asked if isinstance(case, Case)])


@pytest.fixture(scope="module")
def of_planted() -> Callable[[Case], Outcome]:
    """What gives the outcome of a planted application."""
    every = [Case(name, "aiohttp", "asyncio") for name in PLANTED]
    return outcomes_of(every, planted=True, hangs_after=3)


@pytest.mark.parametrize("case", [marked(case) for case in CASES], ids=map(str, CASES))
def test_is_the_same(outcome: Callable[[Case], Outcome], case: Case) -> None:
    found = outcome(case)

    if found.pending:
        pytest.skip(found.pending)
    assert not found.differences, "\n".join(
        [PATTERNS[case.pattern].does, *found.differences, *found.with_.stacks]
    )


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.long
def test_a_planted_difference_is_told(of_planted: Callable[[Case], Outcome], name: str) -> None:
    said = of_planted(Case(name, "aiohttp", "asyncio")).differences

    if PLANTED[name] is None:
        assert said == ()
    else:
        assert any(line.startswith(PLANTED[name]) for line in said), said


@pytest.mark.long
def test_a_hang_says_where(of_planted: Callable[[Case], Outcome]) -> None:
    stacks = "\n".join(of_planted(Case("planted_hang", "aiohttp", "asyncio")).with_.stacks)

    assert "planted_hang" in stacks


def test_every_pattern_says_in_a_sentence_who_does_this() -> None:
    assert len(PATTERNS) >= 40
    for pattern in PATTERNS.values():
        assert pattern.does.endswith("."), pattern.name
        assert len(pattern.does) > 40, pattern.name


def test_fewer_streams_and_exchanges_are_no_harm() -> None:
    before, after = Observation(streams=2, exchanges=2), Observation(streams=1)

    assert list(differences(before, after)) == []


def test_a_fault_of_the_packages_own_is_a_difference() -> None:
    assert list(differences(Observation(), Observation(faults=["one"]))) == ["fault: one"]


def test_an_application_that_hangs_without_the_package_proves_nothing() -> None:
    hung = Observation(end="hang")

    assert list(differences(hung, hung)) == ["without the package too: hang"]
