"""The guard: closes what a disconnect, or a driver that is done, has left open.

What it leaves alone matters as much: a stream that another live task has taken over, one that a
task of its own drains on purpose (LiteLLM's proxy does, to bill what was generated), and one whose
driver returned in peace, which may have handed it on to whoever holds it now.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from time import perf_counter
from typing import Any

from ._call import Call
from ._consumers import (
    AsyncGenerator,
    Holders,
    consumers_of,
    follow_generators,
    generators_of,
    held_by,
    is_suspended,
)
from ._evidence import running_loop
from ._faults import Faults
from ._records import Action, Exit
from ._request import Request
from ._settings import Settings
from ._upstream import Upstream

log = logging.getLogger("litellm_cancel_otel")

_A_TURN = 5
"""What is stopped or closed in one turn of the loop, so that 1,000 at once hold nobody up."""

_LOOK = 0.002
"""Seconds that are spent in one turn of the loop on who holds what, for the same reason."""


class Guard:
    """Watches the drivers of open streams and cleans up behind those that will not return."""

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._orphans: dict[asyncio.AbstractEventLoop, set[Call]] = {}
        self._being_closed: set[Call] = set()
        self._to_do: dict[asyncio.AbstractEventLoop, deque[Callable[[], None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    # Drivers

    def driven(self, call: Call, before: "asyncio.Task[object] | None") -> None:
        """Follow a stream's driver; the one before is of no interest any more."""
        self.forget(call, before)
        if call.driver is None or call.loop is None:
            return
        follow_generators(call.loop)
        call.on_driver_done = partial(self._driver_done, call)
        call.driver.add_done_callback(call.on_driver_done)

    def forget(self, call: Call, driver: "asyncio.Task[object] | None") -> None:
        """Let go of a stream's driver: one that lives for long must not gather callbacks."""
        if driver is not None and call.on_driver_done is not None:
            driver.remove_done_callback(call.on_driver_done)
        call.on_driver_done = None

    def _driver_done(self, call: Call, task: "asyncio.Task[object]") -> None:
        if call.ended or call.driver is not task:
            return
        call.driver_done_at = call.clock()
        request = call.request
        gone = isinstance(request, Request) and (request.disconnect is not None or request.aborted)
        # Not task.exception(): asking would keep asyncio from warning of one nobody looked at.
        if task.cancelled() or getattr(task, "_exception", None) is not None or gone:
            self._orphaned(call)

    # Requests

    def disconnected(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        """Give the server and its framework a grace to stop the request, then stop it."""
        stop = partial(self._stop, request)
        loop.call_later(self._settings.disconnect_grace, self._soon, loop, stop)

    def _stop(self, request: Request) -> None:
        if request.finished:
            return  # finished() has seen to what was left
        left = [
            call
            for call in list(request.calls)
            if call.disconnect is not None and call.loop is request.loop
        ]
        if not left or not request.responding or request.task is None or request.cancelled:
            return
        for call in left:
            call.by_guard = True
            call.acted(Action.CLOSED_ON_DISCONNECT)
        request.cancelled = True
        request.task.cancel()

    def finished(self, request: Request) -> None:
        """Take a request whose application has returned; what it left behind is looked at."""
        if request.disconnect is None and not request.aborted:
            return
        for call in list(request.calls):
            driver = call.driver
            if call.is_stream and (driver is None or driver.done() or driver is request.task):
                if call.driver_done_at is None:
                    call.driver_done_at = call.clock()
                self._orphaned(call)

    # Orphans

    def _orphaned(self, call: Call) -> None:
        loop = call.loop
        if loop is None or loop.is_closed():
            return
        if running_loop() is not loop:  # that of a thread in which an endpoint ran
            loop.call_soon_threadsafe(self._orphaned, call)
            return
        if loop not in self._orphans:
            self._forget_closed_loops()
        waiting = self._orphans.setdefault(loop, set())
        if not waiting:
            loop.call_later(self._settings.orphan_grace, self._sweep, loop)
        waiting.add(call)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close the orphans that nobody has taken over within the grace."""
        orphans = [one for one in self._orphans.pop(loop, ()) if _nobody_drives(one)]
        if orphans:
            self._look(loop, orphans, iter(generators_of(loop)), {})

    def _look(
        self,
        loop: asyncio.AbstractEventLoop,
        orphans: list[Call],
        generators: Iterator[AsyncGenerator],
        holders: Holders,
    ) -> None:
        """Look who holds what, for a moment in each turn; then close the orphans."""
        until = perf_counter() + _LOOK
        try:
            for generator in generators:
                if is_suspended(generator):
                    holders.update(held_by(generator))
                    if perf_counter() > until:
                        loop.call_soon(self._look, loop, orphans, generators, holders)
                        return
        except Exception as fault:  # noqa: BLE001 - ours: what was found so far has to do
            self._faults.note("guard.look", fault)
        for call in orphans:
            self._soon(loop, partial(self._close_orphan, loop, call, holders))

    def _close_orphan(self, loop: asyncio.AbstractEventLoop, call: Call, holders: Holders) -> None:
        stream = _stream(call)
        if stream is not None and _nobody_drives(call) and call not in self._being_closed:
            self._being_closed.add(call)
            call.by_guard = True
            call.acted(Action.CLOSED_ORPHAN)
            self._run(loop, self._close(call, stream, consumers_of(stream, holders)))

    async def _close(self, call: Call, stream: object, consumers: list[AsyncGenerator]) -> None:
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                for generator in consumers:
                    if is_suspended(generator):  # it was; somebody may have resumed it since
                        await _aclose(generator)
                if not call.ended:
                    await stream.aclose()  # type: ignore[attr-defined]  # a watched stream has one
        except TimeoutError:
            log.warning(
                "closing an abandoned stream took over %s s and was given up; its finally hangs",
                self._settings.close_timeout,
            )
        except Exception as fault:  # noqa: BLE001 - the provider's side may fail in any way as it closes
            self._faults.note("guard.close", fault)
        finally:
            self._being_closed.discard(call)
            call.end(Exit.CLOSED)

    # Upstreams

    def close_upstream(self, call: Call, upstream: Upstream) -> None:
        """Close a provider's response that its ended call has left open; in the call's loop."""
        if call.loop is not None and upstream.connection is not None:
            self._run(call.loop, self._close_upstream(call, upstream))

    async def _close_upstream(self, call: Call, upstream: Upstream) -> None:
        if upstream.connection is None:
            return
        call.sink.acted(call, Action.CLOSED_UPSTREAM)
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await upstream.close()
        except TimeoutError:
            log.warning(
                "closing a provider's response took over %s s and was given up",
                self._settings.close_timeout,
            )
        except Exception as fault:  # noqa: BLE001 - the provider's side may fail in any way as it closes
            self._faults.note("upstream.close", fault)

    # The loop

    def _forget_closed_loops(self) -> None:
        for kept in (self._orphans, self._to_do):
            for loop in list(kept):
                if loop.is_closed():
                    kept.pop(loop, None)

    def _soon(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        to_do = self._to_do.setdefault(loop, deque())
        to_do.append(act)
        if len(to_do) == 1:
            loop.call_soon(self._take_turn, loop)

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        to_do = self._to_do[loop]
        for _ in range(min(len(to_do), _A_TURN)):
            try:
                to_do[0]()
            except Exception as fault:  # noqa: BLE001 - ours: the host's loop goes on
                self._faults.note("guard.act", fault)
            to_do.popleft()
        if to_do:
            loop.call_soon(self._take_turn, loop)
        else:
            del self._to_do[loop]

    def _run(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(work)
        self._closing.add(task)  # the loop itself holds tasks but weakly
        task.add_done_callback(self._closing.discard)


def _nobody_drives(call: Call) -> bool:
    return not call.ended and call.driver_done_at is not None


def _stream(call: Call) -> object | None:
    return None if call.stream is None else call.stream()


async def _aclose(generator: AsyncGenerator) -> None:
    try:
        await generator.aclose()
    except RuntimeError:
        pass  # it runs after all, or yields on its way out: its own affair, and asyncio's
    except Exception as exc:  # noqa: BLE001 - the consumer's own finally raised
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": "an abandoned async generator raised while it was closed",
                "exception": exc,
                "asyncgen": generator,
            }
        )
