"""One sweep: a garbage collection at each allocation of an operation, in turn; run as a script.

``python tests/collector_sweep.py OPERATION [STEP]`` looks at each allocation, or at one of so many.
It prints the number of each collection that frees a stream, before it does, so that the last line
tells where a hang is.
"""

import asyncio
import faulthandler
import gc
import signal
import sys
from collections.abc import Callable
from typing import Any

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from litellm_cancel_otel._contract import semconv as sc  # noqa: E402 - the same
from litellm_cancel_otel._demo.fakes import (  # noqa: E402 - the same
    FakeProvider,
    Script,
    aclose_litellm_clients,
)
from support.calling import chat  # noqa: E402 - LiteLLM reads its environment as it is imported
from support.telemetry import Telemetry  # noqa: E402 - the same

POINTS = 200
PATIENCE = 15.0
"""Seconds after which a point that has not ended is told as a hang, with the stacks."""
SETTLING = 5.0


class Collector:
    """Has the collector run at each allocation while it is armed, and free a stream at the n-th.

    The collector runs where more containers have been made than its threshold says. The threshold
    is 1, and after each collection some containers are made and kept, so that the very next one
    that is made is too many again. On Python 3.11 the collection then runs inside that allocation;
    from 3.12 on at the next place where the interpreter looks for such things, which it does
    between two bytecodes.
    """

    def __init__(self) -> None:
        self.at = 0
        self.collections = 0
        self.kept: list[Any] = []
        """The stream to free; nothing else refers to it."""
        self._made: list[object] = []
        self._armed = False

    def __call__(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Return the operation as one that is armed while it runs."""

        def armed(*args: Any, **kwargs: Any) -> Any:
            if self._armed:  # the freed stream's own, from within
                return operation(*args, **kwargs)
            self._arm()
            try:
                return operation(*args, **kwargs)
            finally:
                self._disarm()

        return armed

    def _arm(self) -> None:
        self.collections = 0
        self._armed = True
        gc.callbacks.append(self._collection)
        self._make()
        gc.set_threshold(1, 1_000_000, 1_000_000)
        gc.enable()

    def _make(self) -> None:
        self._made += [[] for _ in range(20)]

    def _disarm(self) -> None:
        gc.disable()
        self._armed = False
        gc.callbacks.remove(self._collection)
        self._made.clear()

    def _collection(self, phase: str, _: object) -> None:
        if not self._armed:
            return
        if phase == "stop":
            self._make()
            return
        self.collections += 1
        if self.collections == self.at and self.kept:
            # A new cycle is in the youngest generation, which is the one that is collected now.
            cycle: list[Any] = [self.kept.pop()]
            cycle.append(cycle)


class Sweep:
    """What the operations work with."""

    def __init__(self, provider: FakeProvider, telemetry: Telemetry) -> None:
        self.provider = provider
        self.telemetry = telemetry
        self.collector = Collector()
        self.calls = 0
        self.streams = 0
        """Those that end before their time."""

    async def stream(self) -> Any:
        """Return a stream with a chunk read, from a provider that is silent."""
        stream = await self._call()
        await anext(stream)
        self.streams += 1
        return stream

    async def _call(self) -> Any:
        # A model of its own: where it is met for the first time, more is locked.
        self.calls += 1
        return await chat(self.provider, "openai", model=f"openai/m{self.calls}", stream=True)

    async def metrics(self) -> None:
        """Collect the metrics."""
        self.collector(self.telemetry.reader.collect)()

    async def recording(self) -> None:
        """Record an ending."""
        await self._ended(self.telemetry.tracker.recorder, "record")

    async def opening(self) -> None:
        """Take a stream as open."""
        tracker: Any = self.telemetry.tracker
        original = tracker.opened
        tracker.opened = self.collector(original)
        try:
            stream = await self.stream()
        finally:
            del tracker.opened
        await stream.aclose()

    async def ending(self) -> None:
        """Take a cancelled stream's end, with all that is cleaned up behind it."""
        await self._ended(self.telemetry.tracker, "ended")

    async def completing(self) -> None:
        """Take a stream's end that came by itself."""
        tracker: Any = self.telemetry.tracker
        self.provider.script = Script(chunks=1)
        stream = await self._call()
        self.provider.script = SILENT
        original = tracker.completed
        tracker.completed = self.collector(original)
        try:
            async for _ in stream:
                pass
        finally:
            del tracker.completed

    async def _ended(self, owner: Any, name: str) -> None:
        stream = await self.stream()
        setattr(owner, name, self.collector(getattr(owner, name)))
        try:
            await stream.aclose()
            self.telemetry.tracker.settle()  # a thread's work otherwise, at some later time
        finally:
            delattr(owner, name)

    async def point(self, operation: str, at: int) -> bool:
        """Free a stream at this allocation of an operation; return whether it has that many."""
        collector = self.collector
        collector.kept = [await self.stream()]
        collector.at = at
        await getattr(self, operation)()
        reached = collector.collections >= at
        if reached and collector.kept:
            raise AssertionError("the collection came, and the stream is still there")
        collector.kept.clear()
        await self._told()
        return reached

    async def _told(self) -> None:
        """Wait until every stream has ended and is told as one that has."""
        async with asyncio.timeout(SETTLING):
            while self.telemetry.tracker.streams or self.cancelled() != self.streams:
                await asyncio.sleep(0.001)
        await self.telemetry.settled()
        self.telemetry.assert_nothing_open()

    def cancelled(self) -> int:
        """Return how many cancelled calls the counter tells."""
        return sum(value for _, value in self.telemetry.points(sc.CANCELLATIONS))


SILENT = Script(chunks=1, hang_at=1)
OPERATIONS = ("metrics", "recording", "opening", "ending", "completing")


async def sweep(operation: str, step: int) -> int:
    """Sweep the first allocations of an operation; return how many of them were looked at."""
    points = 0
    async with FakeProvider(SILENT) as provider:
        with Telemetry(watchdog=False, max_models=1_000) as telemetry:
            swept = Sweep(provider, telemetry)
            # First once without: LiteLLM imports much.
            for at in (10_000, *range(1, POINTS + 1, step)):
                faulthandler.dump_traceback_later(PATIENCE if at <= POINTS else 120, exit=True)
                print(f"{operation} {at}", flush=True)
                gc.collect()
                gc.freeze()
                reached = await swept.point(operation, at)
                if at <= POINTS:
                    if not reached:
                        break
                    points += 1
            await aclose_litellm_clients()
    return points


def main(operation: str, step: int = 1) -> None:
    """Sweep, and say so in the last line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    quiet.libraries()
    gc.disable()
    points = asyncio.run(sweep(operation, step))
    faulthandler.cancel_dump_traceback_later()
    print(f"{operation}: {points} points swept", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
