"""Follows the calls that run: begins them, knows the open streams, hands endings on, cleans up."""

import asyncio
from collections.abc import Callable
from functools import partial

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ._call import Call
from ._evidence import running_loop
from ._faults import Faults
from ._instruments import Key
from ._recorder import LateClose, Recorder
from ._records import CallFacts, Ending, Outcome
from ._settings import Settings
from ._upstream import Upstream


class Tracker:
    """The sink of every call: one for each ``CancelTelemetry``."""

    def __init__(
        self,
        recorder: Recorder,
        settings: Settings,
        faults: Faults,
        clock: Callable[[], float],
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.faults = faults
        self.clock = clock
        self.streams: dict[Call, Key] = {}
        """The streams that have not ended, each with the key that it was counted under."""
        self._closing: set[asyncio.Task[None]] = set()

    def begin(self, describe: Callable[[Call], CallFacts]) -> Call:
        """Return a new call, begun now, in the running task and context."""
        return Call(self, describe, otel_context.get_current())

    def opened(self, call: Call) -> None:
        """Take a call's stream as open until the call ends."""
        call.is_stream = True
        call.requesting = False
        key = self.recorder.instruments.key(call.describe(call))
        self.streams[call] = key
        self.recorder.instruments.opened(key)

    def completed(self, call: Call) -> bool:
        """Count a call that ran to its end, where no span is wanted of it: the common case."""
        if self.settings.spans == "all":
            return False
        instruments = self.recorder.instruments
        key = self.streams.pop(call, None)
        if key is None:
            key = instruments.key(call.describe(call))
        else:
            instruments.closed(key)
        instruments.count(key, Outcome.COMPLETED)
        return True

    def ended(self, call: Call, ending: Ending) -> None:
        """Record a call's one end, and see to it that nothing stays open behind it."""
        key = self.streams.pop(call, None)
        if key is not None:
            self.recorder.instruments.closed(key)
        parent = call.parent if isinstance(call.parent, Context) else None
        late = self.recorder.record(ending, parent)
        upstream = call.upstream
        if upstream is None or not ending.upstream_open or call.loop is None:
            return
        if late is not None:
            upstream.on_closed = late.closed
        # A stream may be dropped in another thread, by the garbage collector.
        in_loop = partial(self._after_end, call.loop, upstream, late)
        if running_loop() is call.loop:
            in_loop()
        elif not call.loop.is_closed():
            call.loop.call_soon_threadsafe(in_loop)

    def _after_end(
        self, loop: asyncio.AbstractEventLoop, upstream: Upstream, late: LateClose | None
    ) -> None:
        if late is not None:
            loop.call_later(self.settings.upstream_wait, late.give_up)
        if self.settings.guard and upstream.close is not None:
            closing = loop.create_task(self._close(upstream))
            self._closing.add(closing)  # the loop itself holds tasks but weakly
            closing.add_done_callback(self._closing.discard)

    async def _close(self, upstream: Upstream) -> None:
        close = upstream.close
        if close is None:
            return
        try:
            async with asyncio.timeout(self.settings.close_timeout):
                await close()
        except Exception as fault:  # noqa: BLE001 - the provider's side may fail in any way as it closes
            self.faults.note("upstream.close", fault)
