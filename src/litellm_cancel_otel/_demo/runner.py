"""Plays every way at every provider, once, and observes what became of each."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import litellm
from litellm.integrations.custom_logger import CustomLogger

from .._contract.records import Outcome
from .._seams.active import ACTIVE
from .fakes import ThreadedFakeProvider, Wire, aclose_litellm_clients
from .records import Got, Record, Seen
from .site import Site
from .telemetry import Telemetry
from .ways import Way

WINDOW = 2.0
"""Seconds for which a run is observed after its last caller has left, at most."""
PATIENCE = 10.0
"""Seconds after which a caller that got nothing is given up."""

Progressed = Callable[[], object]
"""Called as each caller has ended."""
Played = tuple[Way, Site, Got]


class SeamsInstalledError(RuntimeError):
    """A run without the package was asked for while the package is at work."""


class Watcher(CustomLogger):
    """LiteLLM's own callbacks, as any other logger sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.fired: defaultdict[str, list[str]] = defaultdict(list)

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Note a success."""
        self.fired[str(kwargs.get("litellm_call_id"))].append("success")

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Note a failure."""
        self.fired[str(kwargs.get("litellm_call_id"))].append("failure")


class Runner:
    """Runs the ways at the providers, first without the package and then with it."""

    def __init__(self, ways: Sequence[Way], providers: Sequence[Wire]) -> None:
        self._ways = ways
        self._providers = providers
        # One for both runs: LiteLLM takes no second callback of the same class.
        self._watcher = Watcher()

    async def without(self, progressed: Progressed = lambda: None) -> list[Record]:
        """Run with LiteLLM as it is."""
        if not seams_are_out():
            raise SeamsInstalledError("close every CancelTelemetry first")
        return await self._run(None, progressed)

    async def with_(
        self, telemetry: Telemetry, progressed: Progressed = lambda: None
    ) -> list[Record]:
        """Run with the package at work."""
        return await self._run(telemetry, progressed)

    async def _run(self, telemetry: Telemetry | None, progressed: Progressed) -> list[Record]:
        played: list[Played] = []
        with (
            _quiet_loop(),
            _litellm_callbacks(self._watcher, None if telemetry is None else telemetry.callback),
            ThreadedFakeProvider() as fake,
        ):
            for disturbs in (False, True):
                for way in self._ways:
                    for provider in self._providers if way.disturbs is disturbs else ():
                        played.append(await self._play(way, provider, fake))
                        progressed()
                await self._observe(played, telemetry)
            records = [self._record(*one, telemetry) for one in played]
            for _, site, _ in played:
                await site.aclose()
            await aclose_litellm_clients()
            # What a run leaves behind is not the next one's to find.
            gc.collect()
            await asyncio.sleep(0)
        return sorted(records, key=lambda record: self._ways.index(record.way))

    async def _play(self, way: Way, provider: Wire, fake: ThreadedFakeProvider) -> Played:
        fake.provider.script = way.script
        site = Site(provider, fake, call_id=str(uuid4()))
        caller = asyncio.create_task(way.play(site))
        await asyncio.wait({caller}, timeout=PATIENCE)
        if caller.done():
            got = Got.of(caller)
        else:
            got = Got(f"nothing in {PATIENCE:.0f} s")
            caller.cancel()
            await asyncio.wait({caller}, timeout=1)
        site.over()
        return way, site, got

    async def _observe(self, played: Sequence[Played], telemetry: Telemetry | None) -> None:
        """Wait until everything is closed and recorded, or the window is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WINDOW):
                while not all(self._settled(way, site, telemetry) for way, site, _ in played):
                    await asyncio.sleep(0.02)

    def _settled(self, way: Way, site: Site, telemetry: Telemetry | None) -> bool:
        ends_by_itself = way.expected.outcome is not Outcome.CANCELLED
        return (
            all(exchange.how is not None for exchange in site.exchanges)
            and (not ends_by_itself or site.call_id in self._watcher.fired)
            and (telemetry is None or telemetry.span(site.call_id) is not None)
        )

    def _record(self, way: Way, site: Site, got: Got, telemetry: Telemetry | None) -> Record:
        return Record(
            provider=site.provider,
            way=way,
            got=got,
            seen=Seen.of(site.exchanges, site.left_at, time.perf_counter()),
            callbacks=tuple(dict.fromkeys(self._watcher.fired[site.call_id])),
            span=None if telemetry is None else telemetry.span(site.call_id),
        )


def seams_are_out() -> bool:
    """Return whether LiteLLM's calls run as its authors wrote them, as far as we are concerned."""
    return ACTIVE.tracker is None and litellm.acompletion.__code__.co_filename.endswith(".py")


@contextmanager
def _litellm_callbacks(*callbacks: CustomLogger | None) -> Iterator[None]:
    before, litellm.callbacks = litellm.callbacks, [one for one in callbacks if one is not None]
    try:
        yield
    finally:
        litellm.callbacks = before


@contextmanager
def _quiet_loop() -> Iterator[None]:
    """Keep from the log what streams and sessions that were left open say as they are destroyed."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda *_: None)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
