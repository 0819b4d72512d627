"""Who holds an orphan is found, and the search costs the same however many others are open."""

import asyncio
import math
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import pytest

from litellm_cancel_otel._asyncio.begun import Begun, begun_by
from litellm_cancel_otel._asyncio.generators import unfollow_generators
from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import CallFacts, Exit
from litellm_cancel_otel._tracking import guard
from litellm_cancel_otel._tracking.holding import candidates
from support.bytecodes import Bytecodes
from support.telemetry import Telemetry

FACTS = CallFacts("chat", "openai", "gpt-4o-mini", stream=True)
every_loop = pytest.mark.every_loop
pytestmark = pytest.mark.settings(watchdog_interval=60, orphan_grace=60)


@pytest.fixture(autouse=True)
def one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a look at who holds what end in the turn that it begins in, however busy the machine."""
    monkeypatch.setattr(guard, "_LOOK", math.inf)


class Stream:
    """A watched stream as the tracker sees one; each chunk is there at once."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.call: Call = telemetry.tracker.begin(Known(FACTS))
        self.call.stream = ref(self)
        self.call.opens()

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> str:
        self.call.drive(asyncio.current_task())
        return "chunk"

    async def aclose(self) -> None:
        self.call.end(Exit.CLOSED)


class Failure(Exception):
    """What a driver ends by."""


async def pieces(stream: Any, unwound: list[str] | None = None, preamble: int = 0) -> Any:
    """A consumer of a stream, as an application has it."""
    try:
        for _ in range(preamble):
            yield "preamble"
        async for chunk in stream:
            yield chunk
    finally:
        if unwound is not None:
            unwound.append("finally")


async def fails(consumer: AsyncIterator[Any], steps: int = 1) -> None:
    """Take some pieces and raise."""
    await asyncio.sleep(0)  # an eager task is its driver's callbacks' too
    for _ in range(steps):
        await anext(consumer)
    raise Failure


async def failed(consumer: AsyncIterator[Any], steps: int = 1) -> None:
    """Let a task of its own take some pieces, and end by its failure."""
    await asyncio.gather(asyncio.create_task(fails(consumer, steps)), return_exceptions=True)


async def step(consumer: AsyncIterator[Any]) -> Any:
    return await anext(consumer)


def sweep(telemetry: Telemetry, call: Call) -> int:
    """Sweep one orphan as is done when its grace is over; return the bytecodes that it took."""
    its_guard, loop = telemetry.tracker.guard, asyncio.get_running_loop()
    assert its_guard is not None
    its_guard._orphans[loop] = {call}
    with Bytecodes() as counted:
        its_guard._sweep(loop)
        for act in its_guard._turns._to_do.pop(loop):
            act()
    its_guard._turns._to_do[loop] = deque([lambda: None])  # the loop will ask for it
    return counted.count


async def settled(telemetry: Telemetry) -> None:
    its_guard = telemetry.tracker.guard
    assert its_guard is not None
    while its_guard.closing.tasks:
        await asyncio.wait(set(its_guard.closing.tasks))


@every_loop
async def test_sweep_costs_the_same_however_many_others_are_open(telemetry: Telemetry) -> None:
    counts, kept = [], []
    for others in (1, 1, 1_000):  # the first one only warms up: Python 3.12 counts nothing there
        for _ in range(others):
            kept.append(pieces(Stream(telemetry)))
            await anext(kept[-1])
        unwound: list[str] = []
        stream = Stream(telemetry)
        consumer = pieces(stream, unwound)
        await failed(consumer)
        counts.append(sweep(telemetry, stream.call))
        await settled(telemetry)
        assert unwound == ["finally"]
        assert stream.call.ended

    _, few, many = counts
    assert few > 0
    assert abs(many - few) < 50  # a list of weak references is pruned now and then
    for one in kept:
        await one.aclose()
    for call in list(telemetry.tracker.streams):
        call.end(Exit.RETURNED)


@every_loop
async def test_outer_generators_are_found_too(telemetry: Telemetry) -> None:
    async def outer(inner: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for one in inner:
                yield one
        finally:
            unwound.append("outer")

    unwound: list[str] = []
    stream = Stream(telemetry)
    consumer = outer(pieces(stream, unwound))
    await failed(consumer)
    sweep(telemetry, stream.call)
    await settled(telemetry)

    assert unwound == ["outer", "finally"]


@every_loop
async def test_one_that_each_time_another_task_resumes(telemetry: Telemetry) -> None:
    """As ``wait_for`` does before Python 3.12."""
    unwound: list[str] = []
    stream = Stream(telemetry)
    consumer = pieces(stream, unwound)
    for _ in range(3):
        await asyncio.create_task(step(consumer))
    await failed(consumer)
    holding = telemetry.tracker.streams[stream.call].holding
    assert not holding.searched
    assert len(holding._held) == 1
    sweep(telemetry, stream.call)
    await settled(telemetry)

    assert unwound == ["finally"]


@every_loop
async def test_one_that_a_task_has_begun_which_never_drove_the_stream(telemetry: Telemetry) -> None:
    """It yields something of its own first, and is handed on."""
    unwound: list[str] = []
    stream = Stream(telemetry)
    consumer = pieces(stream, unwound, preamble=1)
    await asyncio.create_task(step(consumer))
    await failed(consumer)
    sweep(telemetry, stream.call)
    await settled(telemetry)

    assert unwound == ["finally"]


async def test_one_that_began_before_any_stream_is_searched_for(telemetry: Telemetry) -> None:
    async def late() -> AsyncIterator[Any]:
        try:
            yield "preamble"
            async for chunk in streams[0]:
                yield chunk
        finally:
            unwound.append("finally")

    unwound: list[str] = []
    streams: list[Stream] = []
    consumer = late()
    unfollow_generators()
    await anext(consumer)
    streams.append(Stream(telemetry))
    await failed(consumer)
    assert telemetry.tracker.streams[streams[0].call].holding.searched
    sweep(telemetry, streams[0].call)
    await settled(telemetry)

    assert unwound == ["finally"]


@every_loop
async def test_one_that_its_driver_begins_after_the_first_chunk(telemetry: Telemetry) -> None:
    async def peeks() -> None:
        await anext(stream)
        consumers.append(pieces(stream, unwound))
        await fails(consumers[0])

    unwound: list[str] = []
    consumers: list[Any] = []
    stream = Stream(telemetry)
    await asyncio.gather(asyncio.create_task(peeks()), return_exceptions=True)
    sweep(telemetry, stream.call)
    await settled(telemetry)

    assert unwound == ["finally"]
    assert not stream.call.has_stream


async def test_task_that_lives_for_long_gathers_nothing(telemetry: Telemetry) -> None:
    stream = Stream(telemetry)
    for _ in range(100):
        consumer = pieces(stream)
        await anext(consumer)
        await consumer.aclose()
    task = asyncio.current_task()
    assert task is not None
    begun = begun_by(task)

    assert begun is not None
    assert begun.since(0) == [consumer]
    assert begun.count == 100
    assert len(begun) <= 10
    stream.call.end(Exit.RETURNED)


async def test_a_set_that_cannot_be_kept_is_no_affair_of_the_generators(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_to_add(*_: object) -> None:
        raise Failure

    stream = Stream(telemetry)
    monkeypatch.setattr(Begun, "add", fails_to_add)
    assert await anext(pieces(stream)) == "chunk"
    stream.call.end(Exit.RETURNED)


@every_loop
async def test_close_lets_the_loop_note_its_generators_by_itself() -> None:
    before = sys.get_asyncgen_hooks()
    with Telemetry() as telemetry:
        Stream(telemetry).call.end(Exit.RETURNED)
        assert sys.get_asyncgen_hooks() != before

    assert sys.get_asyncgen_hooks() == before


@every_loop
async def test_task_that_drives_them_all_leaves_as_much_to_look_at_as_it_began(
    telemetry: Telemetry,
) -> None:
    async def drives_all() -> None:
        for _ in range(50):
            streams.append(Stream(telemetry))
            await anext(streams[-1])
            consumers.append(pieces(streams[-1]))
            await anext(consumers[-1])
        raise Failure

    streams: list[Stream] = []
    consumers: list[Any] = []
    await asyncio.gather(asyncio.create_task(drives_all()), return_exceptions=True)
    holdings = [telemetry.tracker.streams[one.call].holding for one in streams]
    found = candidates(holdings, asyncio.get_running_loop())

    assert set(map(id, found)) == set(map(id, consumers))
    assert len(found) == 50
    for one in streams:
        one.call.end(Exit.RETURNED)


async def test_oldest_gauge_costs_the_same_however_many_are_open(telemetry: Telemetry) -> None:
    counts, streams = [], []
    for more in (1, 1_000):
        streams += [Stream(telemetry) for _ in range(more)]
        with Bytecodes() as counted:
            telemetry.tracker._since_disconnect()
        counts.append(counted.count)
    for one in streams:
        one.call.end(Exit.RETURNED)

    assert counts[0] == counts[1]
    assert [age for _, age in telemetry.points(sc.OLDEST_AFTER_DISCONNECT)] == [0]


async def test_the_record_of_a_stream_that_has_ended_holds_nobody(telemetry: Telemetry) -> None:
    """The watchdog's agenda keeps it for a while."""
    stream = Stream(telemetry)
    await anext(stream)
    record = telemetry.tracker.streams[stream.call]
    holding = record.holding
    await stream.aclose()

    assert record.holding is not holding
