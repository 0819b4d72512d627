"""The budgets, in bytecodes and bytes: neither depends on the machine's load.

``python -m benchmarks.overhead`` prints the same beside bare LiteLLM.
"""

import asyncio
import gc
from statistics import median

import litellm
import pytest
from benchmarks.counting import Counting
from benchmarks.growth import Provider, cancelled, reading
from benchmarks.sides import Side, running
from benchmarks.work import bytes_without_network, cost_of_call, cost_of_chunk, open_and_close

from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._calls.driving import Driving
from litellm_cancel_otel._calls.progress import Progress
from litellm_cancel_otel._calls.upstream import Upstream
from litellm_cancel_otel._demo.fakes import FakeProvider, aclose_litellm_clients
from litellm_cancel_otel._seams.chunk_step import ChunkStep
from litellm_cancel_otel._seams.facts import FromLiteLLM
from litellm_cancel_otel._tracking.watched_stream import WatchedStream
from support.telemetry import OLD

CHUNK = 92
"""Bytecodes of a chunk that arrives by itself; 40 is the aim."""

CALL = 1_500
"""Bytecodes of a call that completes, beside what an empty callback of LiteLLM's costs."""

CANCEL = 2_600
"""Bytecodes in the event loop of a stream that is cancelled, one of many at once."""

STREAM = 1_536
"""Bytes of a stream that is open, with the watchdog, but for those of its HTTP response."""

pytestmark = pytest.mark.skipif(OLD, reason="the figures are those of today's LiteLLM")


async def test_chunk(provider: FakeProvider) -> None:
    with running(Side.WATCHED, counted=True):
        cost = await cost_of_chunk(provider, arriving=True)

    assert 0 < cost.own <= CHUNK


async def test_call(provider: FakeProvider) -> None:
    costs: dict[Side, float] = {}
    for side in (Side.EMPTY, Side.WATCHED):
        with running(side, counted=True):
            await cost_of_call()  # the first also makes what every later one uses
            costs[side] = median([(await cost_of_call()).bytecodes for _ in range(5)])

    assert 0 < costs[Side.WATCHED] - costs[Side.EMPTY] <= CALL


async def test_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    growth = [{"provider": "growth", "custom_handler": Provider()}]
    monkeypatch.setattr(litellm, "custom_provider_map", growth)
    counted = []
    with running(Side.WATCHED, counted=True):
        for _ in range(3):  # Python 3.12 counts no bytecode the first time
            readers = await reading(20)
            with Counting() as counting:
                await cancelled(readers)
            counted.append(counting.cost.own / 20)

    assert 0 < counted[-1] <= CANCEL, counted


async def test_open_stream(provider: FakeProvider) -> None:
    held: dict[Side, list[float]] = {Side.BARE: [], Side.WATCHED: []}
    for side in (*held, *held, *held):  # what a first one makes, and whatever else runs, only adds
        with running(side) as telemetry:
            held[side].append(await bytes_without_network(telemetry))

    assert 0 < min(held[Side.WATCHED]) - min(held[Side.BARE]) <= STREAM


KINDS = (Call, ChunkStep, Driving, FromLiteLLM, Progress, Upstream, WatchedStream)


def _records() -> int:
    gc.collect()
    return sum(issubclass(type(one), KINDS) for one in gc.get_objects())


def test_nothing_is_left_of_a_stream_that_has_ended(warm: None) -> None:
    async def streams() -> None:
        async with FakeProvider() as provider:
            await open_and_close(provider, telemetry, 20)
            await aclose_litellm_clients()

    before = _records()
    with running(Side.WATCHED) as telemetry:
        asyncio.run(streams())  # timers of the loop's keep contexts, and those the calls' records

        assert _records() <= before
