"""The campaign is balanced, and what is planted in its books or in the package is found."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.campaign.fates import FATES
from tests.campaign.fates.fate import MID_STREAM
from tests.campaign.provider import Desk
from tests.campaign.run import TRANSPORTS
from tests.campaign.seat import Seat
from tests.campaign.wills import willed_transport

from campaign.books import Entry, Left, Told, balance
from campaign.expect import ANSWER, CANCELLED, COMPLETED, NO_CALL, told
from campaign.growth import Held, grown
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.dropping import client_for
from litellm_cancel_otel._demo.fakes import Wire, aclose_litellm_clients
from support import children, warm
from support.telemetry import OLD
from support.thorough import THOROUGH

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
LIMIT = 540
CALLS = 2_000 if THOROUGH else 300

newer = pytest.mark.skipif(OLD, reason="its streams leave chunks and closes for later")


def campaign(*options: object, first: str = "") -> children.Ended[str]:
    """Run a campaign in a process of its own; ``first`` is what it does before."""
    code = f"""
{first}
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.campaign.__main__ import main
sys.exit(main())
"""
    return warm.run(code, *map(str, options), "--limit", str(LIMIT), timeout=LIMIT + 30)


@newer
@pytest.mark.timeout(LIMIT + 60)
def test_books_are_balanced() -> None:
    ended = campaign("--calls", CALLS, "--seed", 1)

    assert ended.returncode == 0, ended.stdout[-12_000:] + ended.stderr[-4_000:]
    assert f"{CALLS} calls" in ended.stdout


@newer
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize(
    ("fate", "planted", "told"),
    [
        ("break", "instruments.Instruments.closed = lambda *_: None", "left behind: streams"),
        ("body", "instruments.Instruments.count = lambda *_: None", "calls are {}"),
        ("aclose", "recorder.Recorder.record = lambda *_: 1 / 0", "left behind: faults"),
        ("break", "classify._signal = lambda _: classify.Signal.ACLOSE", "is not gc"),
    ],
)
def test_planted_fault_is_found(fate: str, planted: str, told: str) -> None:
    first = (
        "from litellm_cancel_otel._demo import quiet\nquiet.before_litellm()\n"
        "from litellm_cancel_otel._calls import classify\n"
        "from litellm_cancel_otel._telemetry import instruments, recorder\n" + planted
    )
    ended = campaign("--calls", 6, "--fate", fate, first=first)

    assert ended.returncode == 1, ended.stderr
    assert told in ended.stdout


SAID = {
    sc.CANCELLATION_TYPE: "external",
    sc.SOURCE: "task_cancel",
    sc.PHASE: "streaming",
    sc.SIGNAL: "cancel",
    sc.ENDED_BY: "exception",
}
EXPECTED = {CANCELLED: told("task_cancel", "streaming")}


def entry(**changed: Any) -> Entry:
    fields = {"about": "it", "wire": "azure", "got": CANCELLED, "expected": EXPECTED}
    return Entry(**{**fields, "spans": [SAID], **changed})


def lines(*entries: Entry, left: Left | None = None, **counted: Any) -> list[str]:
    cancels = Counter(
        tuple(str(span.get(name)) for name in (sc.CANCELLATION_TYPE, sc.SOURCE, sc.PHASE))
        for one in entries
        for span in one.spans
    )
    return list(balance(entries, Told(counted, cancels), left or Left()))


@newer
@pytest.mark.parametrize("fate", ["hanging-close", "cancel-twice"])
@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_call_that_is_given_up_ends_when_its_loop_does(
    fate: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine a call is given up before its fate has cancelled it."""
    reached = asyncio.Event()

    async def silent(seat: Seat, pieces: int) -> None:
        await (await seat.exchange()).wait_hanging(20)
        await seat.has(pieces)
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Seat, "silent", silent)
    transport = willed_transport(kind)

    async def client(wire: Wire, kwargs: dict[str, Any]) -> Any:
        return (await client_for(wire, kwargs, transport))[0]

    async with Desk() as desk:
        playing = FATES[fate].play
        assert playing is not None
        before = asyncio.all_tasks()
        task = asyncio.create_task(playing(Seat(1, "azure", desk, MID_STREAM, Random(1), client)))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        (reader,) = (
            one for one in asyncio.all_tasks() - before if "Seat.read" in str(one.get_coro())
        )
        reader.cancel()  # as asyncio.run does at its end, once
        _, waits = await asyncio.wait([reader], timeout=20)
        assert not waits
        await transport.aclose()
        await aclose_litellm_clients()


class TestBooks:
    def test_balanced(self) -> None:
        whole = entry(got=ANSWER, expected={ANSWER: COMPLETED}, spans=[])
        none = entry(expected={CANCELLED: NO_CALL}, spans=[])

        assert lines(entry(), whole, none, cancelled=1, completed=1) == []

    def test_caller_got_something_else(self) -> None:
        (line,) = lines(entry(got=ANSWER), cancelled=1)
        assert "the caller got answer, not CancelledError" in line

    def test_two_endings(self) -> None:
        assert "it: 2 endings" in lines(entry(spans=[SAID, SAID]), cancelled=2)

    def test_no_ending(self) -> None:
        said = lines(entry(spans=[]), cancelled=0)
        assert "it: no span tells of its cancel" in said
        assert any("calls are {}" in line for line in said)

    @pytest.mark.parametrize("name", list(SAID))
    def test_attribute_is_another(self, name: str) -> None:
        (line,) = lines(entry(spans=[{**SAID, name: "other"}]), cancelled=1)
        assert f"{name} is not {SAID[name]}" in line

    def test_cancel_that_was_none(self) -> None:
        (line, *_) = lines(entry(got=ANSWER, expected={ANSWER: COMPLETED}), cancelled=1)
        assert "a span tells of a cancel" in line

    def test_call_that_was_counted_as_another(self) -> None:
        (line,) = lines(entry(), completed=1)
        assert "calls are {'completed': 1}, made {'cancelled': 1}" in line

    def test_call_that_was_counted_twice(self) -> None:
        assert len(lines(entry(), cancelled=2)) == 1

    def test_counter_disagrees_with_the_spans(self) -> None:
        (line,) = balance([entry()], Told({"cancelled": 1}, {}), Left())
        assert line.startswith("cancellations are {}")

    def test_span_of_no_call(self) -> None:
        stray = entry(got="", expected={})
        assert "it: the caller got , not " in lines(stray, cancelled=1)

    @pytest.mark.parametrize(
        ("what", "value"),
        [
            *(("streams", 1), ("tracked", 1), ("exchanges", 1), ("sockets", 1), ("sockets", -1)),
            *(("tasks", ["x"]), ("unraisable", ["x"]), ("warnings", ["x"]), ("faults", {"x": 1})),
            ("loop_errors", ["x"]),
        ],
    )
    def test_something_is_left(self, what: str, value: Any) -> None:
        (line,) = lines(left=Left(**{what: value}))
        assert line.startswith(f"left behind: {what}: ")


def looks(*figures: int, name: str = "Call", **more: int) -> list[Held]:
    return [
        Held(
            Counter({name: figure}),
            0,
            more.get("descriptors", 0) * figure,
            more.get("threads", 0) * figure,
            figure,
        )
        for figure in figures
    ]


class TestGrowth:
    def test_up_and_down_is_none(self) -> None:
        assert list(grown(looks(1, 9, 1, 5, 5, 5, 9, 1, 9))) == []

    def test_more_at_the_least_than_at_the_most(self) -> None:
        (line,) = grown(looks(1, 2, 1, 2, 2, 2, 3, 3, 3))
        assert line == "growth: objects of Call: from 2 at the most to 3 at the least"

    def test_of_a_class_that_is_bounded(self) -> None:
        assert list(grown(looks(*(9, 9, 9, 9, 9, 9), *(400, 400, 400), name="WatchedStream"))) == []
        assert (
            len(list(grown(looks(*(9, 9, 9, 9, 9, 9), *(401, 401, 401), name="WatchedStream"))))
            == 1
        )

    @pytest.mark.parametrize("what", ["descriptors", "threads"])
    def test_of_the_process(self, what: str) -> None:
        said = list(grown(looks(1, 1, 1, 2, 2, 2, 3, 3, 3, **{what: 1})))
        assert any(line.startswith(f"growth: {what}: ") for line in said)
