"""How what was left open is closed: for as long as a close may take, in a task of its own."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any

from .._asyncio.generators import AsyncGenerator, is_suspended
from .._calls.call import Call
from .._calls.upstream import Upstream
from .._contract.faults import Faults
from .._contract.log import warn
from .._contract.records import Action, Exit


class Closing:
    """The closes that are under way."""

    def __init__(self, timeout: float, faults: Faults) -> None:
        self._timeout = timeout
        self._faults = faults
        self.calls: set[Call] = set()
        """The calls whose streams are being closed."""
        self.tasks: set[asyncio.Task[None]] = set()

    def stream(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Call,
        stream: object,
        consumers: list[AsyncGenerator],
    ) -> None:
        """Close a stream and those that hold it, the outermost first; in the call's loop."""
        self.calls.add(call)
        self._run(loop, self._close(call, stream, consumers))

    def upstream(self, loop: asyncio.AbstractEventLoop, call: Call, upstream: Upstream) -> None:
        """Close a provider's response; in the call's loop."""
        self._run(loop, self._close_upstream(call, upstream))

    async def _close(self, call: Call, stream: object, consumers: list[AsyncGenerator]) -> None:
        try:
            closing = _close_all(call, stream, consumers)
            await self._bounded(closing, "guard.close", "closing an abandoned stream")
        finally:
            self.calls.discard(call)
        call.end(Exit.CLOSED)

    async def _close_upstream(self, call: Call, upstream: Upstream) -> None:
        if upstream.connection is None:
            return
        call.observer.acted(call, Action.CLOSED_UPSTREAM)
        await self._bounded(upstream.close(), "upstream.close", "closing a provider's response")

    async def _bounded(self, closing: Awaitable[None], place: str, what: str) -> None:
        """Await a close for as long as a close may take; whatever it raises ends here."""
        try:
            async with asyncio.timeout(self._timeout):
                await closing
        except TimeoutError:
            warn("%s took over %s s and was given up", what, self._timeout)
        except Exception as fault:  # noqa: BLE001 - the provider's side may fail in any way as it closes
            self._faults.note(place, fault)

    def _run(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(work)
        with suppress(AttributeError):  # a loop's own kind of task
            # A loop that is stopped for good meanwhile has nothing to complain of: asyncio.gather
            # says the same of its children.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.tasks.add(task)  # the loop itself holds tasks but weakly
        task.add_done_callback(self.tasks.discard)


async def _close_all(call: Call, stream: Any, consumers: list[AsyncGenerator]) -> None:
    for generator in consumers:
        if is_suspended(generator):  # it was; somebody may have resumed it since
            await _aclose(generator)
    if not call.ended:
        await stream.aclose()  # a watched stream has one


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
