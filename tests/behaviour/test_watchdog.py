"""The watchdog in one process: what it finds and says, what it costs, and what it survives."""

import asyncio
import gc
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from litellm_cancel_otel._calls.call import Call
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import Exit, Phase, Place, Reason, Signal, Stuck
from litellm_cancel_otel._demo.fakes import Exchange, FakeProvider, Script
from litellm_cancel_otel._tracking.snapshot import snapshot
from litellm_cancel_otel._tracking.stuck_log import AT_MOST, WINDOW, StuckLog
from litellm_cancel_otel._tracking.watchdog import EXPLAINED_AT_ONCE
from support.calling import chat, silent, text_of
from support.forking import in_child
from support.telemetry import Telemetry
from support.ticking import FACTS, Ticking, by_hand, opened


@pytest.fixture
def ticking(telemetry: Telemetry) -> Ticking:
    return Ticking(telemetry)


class Reader:
    """A task that reads a stream to its end."""

    def __init__(self, provider: FakeProvider, **more: Any) -> None:
        self._call = chat(provider, "openai", stream=True, **more)
        self._pieces = 0
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for chunk in await self._call:
            self._pieces += bool(text_of(chunk))

    async def has(self, pieces: int) -> None:
        """Wait until that many pieces of text have come."""
        async with asyncio.timeout(10):
            while self._pieces < pieces:
                await asyncio.sleep(0.001)

    async def ended(self) -> None:
        """Wait until the task has."""
        await asyncio.wait([self.task])


async def hang(provider: FakeProvider, **more: Any) -> tuple[Reader, Exchange]:
    """Return a reader whose stream gives no chunk after its second one."""
    provider.script = Script(hang_at=2)
    reader = Reader(provider, **more)
    exchange = await silent(provider)
    await reader.has(2)
    return reader, exchange


def event(span: ReadableSpan) -> dict[str, Any]:
    (attributes,) = [one.attributes for one in span.events if one.name == sc.EVENT_STUCK]
    return dict(attributes or {})


@by_hand
class TestNoChunk:
    async def test_found_at_its_limit_and_cleared(
        self, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, exchange = await hang(provider)
        ticking.tick()
        ticking.tick(41)
        ticking.tick(17.5)
        assert ticking.stuck() == {}

        ticking.tick(2)
        assert ticking.stuck() == {"no_chunk": 1}

        exchange.release()
        await reader.ended()
        ticking.tick(1)
        assert ticking.stuck() == {"no_chunk": 0}

    async def test_says_where_while_it_lasts(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, exchange = await hang(provider)
        for later in (0, 41, 19.5):
            ticking.tick(later)

        (first,) = telemetry.spans
        said: dict[str, Any] = dict(first.attributes or {})
        assert said[sc.STUCK] is True
        assert said[sc.CHUNKS] >= 2
        assert said[sc.PROVIDER] == "openai"
        assert first.name == "chat gpt-4o-mini"
        happened = event(first)
        assert happened[sc.STUCK_REASON] == said[sc.STUCK_REASON] == "no_chunk"
        assert 60 <= happened[sc.STUCK_AGE] < 62
        assert any(" CustomStreamWrapper.__anext__" in place for place in happened[sc.STUCK_WHERE])
        exchange.release()
        await reader.ended()

    async def test_slow_consumer_is_not_stuck(
        self, ticking: Ticking, provider: FakeProvider
    ) -> None:
        provider.script = Script(chunks=3)
        stream = await chat(provider, "openai", stream=True)
        await anext(stream)
        for _ in range(20):
            ticking.tick(50)

        assert ticking.stuck() == {}
        async for _ in stream:
            pass

    @pytest.mark.settings(
        watchdog_interval=60, stuck_limits={"azure": (1, 1), "openai/gpt-4o*": (5, 5)}
    )
    async def test_limits_of_the_model(self, ticking: Ticking, provider: FakeProvider) -> None:
        reader, exchange = await hang(provider)
        ticking.tick()
        ticking.tick(3.5)
        assert ticking.stuck() == {}
        ticking.tick(2)

        assert ticking.stuck() == {"no_chunk": 1}
        exchange.release()
        await reader.ended()

    async def test_wall_clock_that_steps_does_nothing(
        self, ticking: Ticking, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reader, exchange = await hang(provider)
        ticking.tick()
        ticking.tick(41)
        for step in (86_400, -86_400):
            monkeypatch.setattr(time, "time", lambda step=step: step)
            ticking.tick()
        assert ticking.stuck() == {}
        ticking.tick(20)

        assert ticking.stuck() == {"no_chunk": 1}
        monkeypatch.undo()
        exchange.release()
        await reader.ended()


@by_hand
class TestSpans:
    async def test_last_span_is_in_the_first_ones_trace(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, _ = await hang(provider)
        for later in (0, 41, 20):
            ticking.tick(later)
        reader.task.cancel()
        await reader.ended()
        telemetry.callback.flush()

        first, last = telemetry.spans
        assert last.parent == first.context
        assert [link.context for link in last.links] == [first.context]
        assert event(last)[sc.STUCK_REASON] == "no_chunk"
        assert sc.STUCK not in (last.attributes or {})
        assert (last.attributes or {})[sc.SOURCE] == "task_cancel"

    async def test_both_are_children_of_the_readers_span(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        tracer = telemetry.tracer_provider.get_tracer("application")
        with tracer.start_as_current_span("request") as request:
            reader, _ = await hang(provider)
        for later in (0, 41, 20):
            ticking.tick(later)
        reader.task.cancel()
        await reader.ended()
        telemetry.callback.flush()

        _, first, last = telemetry.spans
        parent = request.get_span_context()
        assert first.parent == last.parent == parent
        assert [link.context for link in last.links] == [first.context]

    async def test_one_that_completes_after_all_has_a_span_too(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, exchange = await hang(provider)
        for later in (0, 41, 20):
            ticking.tick(later)
        exchange.release()
        await reader.ended()

        _, last = telemetry.spans
        assert event(last)[sc.STUCK_REASON] == "no_chunk"
        assert sc.CANCELLATION_TYPE not in (last.attributes or {})
        assert last.status.status_code is trace.StatusCode.UNSET
        assert telemetry.outcomes() == {"completed": 1}

    async def test_stuck_twice_has_one_first_span_and_two_events(
        self, telemetry: Telemetry, ticking: Ticking
    ) -> None:
        call = opened(telemetry)
        for _ in range(2):
            for later in (0, 700, 700):
                ticking.tick(later)
            call.progress.got_chunk(call.clock())
            call.progress.last_chunk = ticking.dog._clock()
            ticking.tick()
            assert ticking.stuck() == {"no_chunk": 0}
        call.end(Exit.RETURNED)

        _, last = telemetry.spans
        assert [one.name for one in last.events].count(sc.EVENT_STUCK) == 2

    @pytest.mark.settings(watchdog_interval=60, spans="none")
    async def test_none_where_none_is_wanted(self, telemetry: Telemetry, ticking: Ticking) -> None:
        call = opened(telemetry)
        for later in (0, 700, 700):
            ticking.tick(later)
        assert ticking.stuck() == {"no_chunk": 1}
        call.end(Exit.RETURNED)

        assert telemetry.spans == []


@by_hand
class TestDisconnect:
    async def test_found_and_how_old_the_oldest_is(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, _ = await hang(provider)
        (call,) = telemetry.tracker.streams
        ticking.tick()
        call.disconnected(Signal.ASGI_RECEIVE, call.clock() - 3)
        ticking.tick()
        assert ticking.stuck() == {}
        ticking.tick(2.5)

        assert ticking.stuck() == {"after_disconnect": 1}
        ((attributes, age),) = telemetry.points(sc.OLDEST_AFTER_DISCONNECT)
        assert attributes[sc.PROVIDER] == "openai"
        assert 3 <= age < 4
        reader.task.cancel()
        await reader.ended()
        ticking.tick()
        assert ticking.stuck() == {"after_disconnect": 0}
        assert [value for _, value in telemetry.points(sc.OLDEST_AFTER_DISCONNECT)] == [0]

    async def test_draining_is_not_stuck(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        call = opened(telemetry)
        call.progress.got_chunk(call.clock())
        call.disconnected(Signal.ASGI_RECEIVE, call.clock())
        for _ in range(20):
            call.progress.chunks += 1
            call.progress.last_chunk = ticking.dog._clock()
            ticking.tick(4.5)

        assert ticking.stuck() == {}
        call.end(Exit.RETURNED)


async def held(provider: FakeProvider) -> AsyncIterator[Any]:
    async for chunk in await chat(provider, "openai", stream=True):
        yield chunk


@by_hand
class TestOrphan:
    @pytest.mark.parametrize(("fails", "limit"), [(True, 5), (False, 60)])
    async def test_found_with_the_frame_that_holds_it(
        self,
        telemetry: Telemetry,
        ticking: Ticking,
        provider: FakeProvider,
        fails: bool,
        limit: float,
    ) -> None:
        async def drives() -> None:
            await anext(generator)
            begun.set()
            await over.wait()
            if fails:
                raise LookupError("the driver")

        begun, over = asyncio.Event(), asyncio.Event()
        generator: Any = held(provider)
        task = asyncio.create_task(drives())
        await begun.wait()
        ticking.tick()  # it is looked at, and is not due for long
        over.set()
        await asyncio.wait([task])
        ticking.tick(limit - 1)
        assert ticking.stuck() == {}
        ticking.tick(1.5)

        assert ticking.stuck() == {"orphaned": 1}
        (span,) = telemetry.spans
        (place,) = event(span)[sc.STUCK_WHERE]
        line = held.__code__.co_firstlineno + 2
        assert place == f"test_watchdog.py:{line} held"
        await generator.aclose()
        assert (task.exception() is None) is not fails

    async def test_taken_over_by_another_task(
        self, ticking: Ticking, provider: FakeProvider
    ) -> None:
        generator: Any = held(provider)
        await asyncio.create_task(anext(generator))
        await asyncio.sleep(0)  # what is called when a task is done is called after its waiters
        ticking.tick(61)
        assert ticking.stuck() == {"orphaned": 1}

        await anext(generator)
        ticking.tick()

        assert ticking.stuck() == {"orphaned": 0}
        await generator.aclose()


class TestLog:
    STUCK = Stuck(Reason.NO_CHUNK, since=0.0, found=61.0)

    def test_so_many_and_then_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        log = StuckLog(Faults())
        log.tick(0.0)
        said = [log.found(FACTS, self.STUCK, 3) for _ in range(AT_MOST + 5)]
        log.tick(WINDOW - 1)
        assert said == [True] * AT_MOST + [False] * 5
        assert len(caplog.messages) == AT_MOST

        log.tick(WINDOW)

        assert caplog.messages[-1].startswith("5 more streams")
        assert log.found(FACTS, self.STUCK, 3)

    def test_the_applications_frames_come_first_and_libraries_are_folded(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        chain = (
            *(Place(f"uvicorn/a{i}.py", i, "serve", library=True) for i in range(20)),
            Place("app/main.py", 20, "endpoint"),
            Place("app/main.py", 32, "answer"),
            *(Place(f"httpx/a{i}.py", i, "send", library=True) for i in range(20)),
        )
        facts = replace(FACTS, provider="azure")
        StuckLog(Faults()).found(facts, replace(self.STUCK, chain=chain), 3)

        assert caplog.messages == [
            "a stream is stuck (no_chunk) at app/main.py:32 answer, called at app/main.py:20 "
            "endpoint, waiting in httpx at httpx/a19.py:19 send: azure.ai.openai gpt-4o-mini, "
            "call one, for 61.0 s, after 3 chunks"
        ]

    def test_of_a_recursion_a_few_frames_are_named(self, caplog: pytest.LogCaptureFixture) -> None:
        chain = tuple(Place("app/main.py", i, "down") for i in range(64))
        StuckLog(Faults()).found(FACTS, replace(self.STUCK, chain=chain), 3)

        assert " at app/main.py:63 down, called at app/main.py:62 down" in caplog.messages[0]
        assert "app/main.py:59 down and 59 more: " in caplog.messages[0]

    @by_hand
    async def test_one_when_found_and_one_when_cleared(
        self,
        ticking: Ticking,
        provider: FakeProvider,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.WARNING, "litellm_cancel_otel")
        reader, exchange = await hang(provider, litellm_call_id="this-one")
        for later in (0, 41, 20, 1, 1):
            ticking.tick(later)
        exchange.release()
        await reader.ended()
        ticking.tick()

        found, cleared = [
            message for message in caplog.messages if message.startswith("a stream is ")
        ]
        assert found.startswith("a stream is stuck (no_chunk) at ")
        place = found.removeprefix("a stream is stuck (no_chunk) at ").partition(",")[0]
        assert re.fullmatch(r"(\w+/)*\w+\.py:\d+ .*", place)
        assert not place.startswith(("litellm/", "aiohttp/")), "the application's comes first"
        assert re.search(r"waiting in litellm > .*aiohttp at aiohttp/\S+:\d+ StreamReader", found)
        assert ": openai gpt-4o-mini, call this-one, for 6" in found
        assert "no longer stuck (no_chunk): openai gpt-4o-mini, call this-one, it ended" in cleared


class TestThread:
    async def test_there_is_none_before_the_first_stream(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        await chat(provider, "openai")
        assert dog._thread is None

        async for _ in await chat(provider, "openai", stream=True):
            pass

        assert dog._thread is not None
        assert dog._thread.daemon

    @pytest.mark.settings(watchdog=False)
    async def test_none_where_none_is_wanted(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        async for _ in await chat(provider, "openai", stream=True):
            pass

        assert telemetry.tracker.watchdog is None

    @pytest.mark.settings(watchdog_interval=0.05, stuck_first_chunk=0.1)
    async def test_restarted_once_and_counted(self, telemetry: Telemetry) -> None:
        dog = telemetry.tracker.watchdog
        assert dog is not None
        tick, dead = dog.tick, [threading.Event(), threading.Event()]

        def dies() -> None:
            dog.tick = tick  # type: ignore[method-assign]
            dead.pop(0).set()
            raise LookupError("a fault of ours")

        dog.tick = dies  # type: ignore[method-assign]
        call = opened(telemetry)
        await found_stuck(telemetry)
        assert dict(telemetry.tracker.faults.counts) == {"watchdog": 1}

        dog.tick = dies  # type: ignore[method-assign]
        last = dead[0]
        assert last.wait(5)
        while not dog._closed:
            await asyncio.sleep(0.01)
        assert [value for _, value in telemetry.points(sc.STREAMS_STUCK)] == [0]
        call.end(Exit.RETURNED)
        assert dict(telemetry.tracker.faults.counts) == {"watchdog": 2}
        telemetry.tracker.faults.counts.clear()

    @pytest.mark.settings(watchdog_interval=0.05, stuck_first_chunk=0.1)
    async def test_fault_in_one_stream_is_not_the_others(self, telemetry: Telemetry) -> None:
        class Fault:
            @property
            def coro(self) -> object | None:
                raise LookupError("a fault of ours")

            @coro.setter
            def coro(self, _: object | None) -> None: ...

        bad, good = opened(telemetry), opened(telemetry)
        bad.progress.source = Fault()
        await found_stuck(telemetry)

        assert telemetry.tracker.faults.counts.keys() == {"watchdog.look"}
        telemetry.tracker.faults.counts.clear()
        bad.end(Exit.RETURNED)
        good.end(Exit.RETURNED)

    @by_hand
    @pytest.mark.parametrize("streams", [0, 200])
    async def test_ends_at_close(
        self, telemetry: Telemetry, ticking: Ticking, streams: int
    ) -> None:
        opened(telemetry).end(Exit.RETURNED)
        calls = [opened(telemetry) for _ in range(streams)]
        for later in (0, 401, 201):
            ticking.tick(later)
        assert sum(ticking.stuck().values()) == streams
        dog = ticking.dog
        assert dog._thread is not None

        telemetry.callback.close()
        dog._thread.join(1)

        assert not dog._thread.is_alive()
        for call in calls:
            call.end(Exit.RETURNED)
        assert not dog._news

    @by_hand
    async def test_keeps_nothing_alive(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        provider.script = Script(chunks=None)
        stream = await chat(provider, "openai", stream=True)
        await anext(stream)
        ticking.tick()
        (watched,) = telemetry.tracker.streams.values()
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        telemetry.tracker.notes.settle()

        assert not telemetry.tracker.streams
        assert gone() is None
        assert watched.call is None

    @by_hand
    async def test_agenda_does_not_grow_with_streams_that_end(
        self, telemetry: Telemetry, ticking: Ticking
    ) -> None:
        for _ in range(10):
            calls = [opened(telemetry) for _ in range(200)]
            ticking.tick()
            for call in calls:
                call.end(Exit.RETURNED)
            ticking.tick()

        assert len(ticking.dog._agenda) <= 456

    @by_hand
    @pytest.mark.parametrize("ticks", [0, 1], ids=["before a look", "after a look"])
    async def test_record_of_a_stream_that_has_ended_keeps_no_loop(
        self, telemetry: Telemetry, ticking: Ticking, ticks: int
    ) -> None:
        other = opened(telemetry)
        one = opened(telemetry)
        watched = telemetry.tracker.streams[one]
        for _ in range(ticks):
            ticking.tick()
        one.end(Exit.RETURNED)
        ticking.tick()

        assert watched.loop is None
        (lag,) = ticking.dog._loops.values()
        assert lag.streams == 1
        other.end(Exit.RETURNED)
        ticking.tick()
        assert not ticking.dog._loops

    @by_hand
    async def test_many_at_once_are_counted_at_once_and_explained_in_turn(
        self, telemetry: Telemetry, ticking: Ticking
    ) -> None:
        calls = [opened(telemetry) for _ in range(2 * EXPLAINED_AT_ONCE + 1)]
        ticking.tick()
        ticking.tick(401)
        ticking.tick(201)

        assert ticking.stuck() == {"no_chunk": len(calls)}
        assert len(telemetry.spans) == EXPLAINED_AT_ONCE
        ticking.tick()
        ticking.tick()
        assert len(telemetry.spans) == len(calls)
        for call in calls:
            call.end(Exit.RETURNED)


async def found_stuck(telemetry: Telemetry) -> None:
    """Wait until the gauge says that a stream is stuck."""
    async with asyncio.timeout(10):
        while not any(value for _, value in telemetry.points(sc.STREAMS_STUCK)):
            await asyncio.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
class TestFork:
    @pytest.mark.settings(watchdog_interval=0.05, stuck_first_chunk=0.1)
    async def test_child_has_its_own_thread_and_nothing_of_its_parents(
        self, telemetry: Telemetry
    ) -> None:
        ended, stuck = opened(telemetry), opened(telemetry)
        ended.end(Exit.RETURNED)
        await found_stuck(telemetry)

        said = await asyncio.to_thread(in_child, lambda: self._child(telemetry, stuck))

        assert said == {
            "inherited": [],
            "known": 1,
            "open": 1,
            "outcomes": {"completed": 1},
            "stuck": 1,
        }
        assert telemetry.open_streams() == 1
        assert telemetry.outcomes() == {"completed": 1}
        stuck.end(Exit.RETURNED)

    @staticmethod
    def _child(telemetry: Telemetry, parents: Call) -> dict[str, object]:
        inherited = [
            value
            for metric in (sc.CALLS, sc.STREAMS_OPEN, sc.STREAMS_STUCK)
            for _, value in telemetry.points(metric)
        ]
        parents.end(Exit.DROPPED)  # as the collector would

        async def streams() -> None:
            opened(telemetry).end(Exit.RETURNED)
            opened(telemetry)
            await found_stuck(telemetry)

        asyncio.run(streams())
        ((_, stuck),) = telemetry.points(sc.STREAMS_STUCK)
        return {
            "inherited": inherited,
            "known": len(telemetry.tracker.streams),
            "open": telemetry.open_streams(),
            "outcomes": telemetry.outcomes(),
            "stuck": stuck,
        }


@by_hand
class TestSnapshot:
    async def test_says_what_is_known(
        self, telemetry: Telemetry, ticking: Ticking, provider: FakeProvider
    ) -> None:
        reader, exchange = await hang(provider, litellm_call_id="this-one")
        for later in (0, 41, 20):
            ticking.tick(later)
        (call,) = telemetry.tracker.streams
        (state,) = snapshot(telemetry.tracker, call.start + 100, chains=True)
        (without,) = snapshot(telemetry.tracker, call.start + 100)

        assert (state.provider, state.model, state.operation) == ("openai", "gpt-4o-mini", "chat")
        assert (state.phase, state.stuck) == (Phase.STREAMING, Reason.NO_CHUNK)
        assert state.age == pytest.approx(100)
        assert state.call_id == "this-one"
        assert state.chain[-1].file.startswith(("aiohttp/", "asyncio/", "anyio/"))
        assert without.chain == ()
        exchange.release()
        await reader.ended()
        assert snapshot(telemetry.tracker, 0.0) == []

    async def test_while_streams_come_and_go(self, telemetry: Telemetry) -> None:
        stop = threading.Event()
        seen: list[int] = []

        def look() -> None:
            while not stop.is_set():
                seen.append(len(snapshot(telemetry.tracker, time.perf_counter())))

        looking = asyncio.create_task(asyncio.to_thread(look))
        for _ in range(300):
            calls = [opened(telemetry) for _ in range(30)]
            await asyncio.sleep(0)
            for call in calls:
                call.end(Exit.RETURNED)
        stop.set()
        await looking

        assert seen
