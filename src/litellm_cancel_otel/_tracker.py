"""Follows the calls that run: begins them, knows the open streams, hands their endings on."""

import asyncio
from collections.abc import Callable
from functools import partial

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ._call import Call
from ._evidence import running_loop
from ._faults import Faults
from ._guard import Guard
from ._instruments import Key
from ._recorder import LateClose, Recorder
from ._records import CallFacts, Ending, Outcome
from ._request import REQUEST, Request
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
        flush: Callable[[], object],
    ) -> None:
        self.recorder = recorder
        self.settings = settings
        self.faults = faults
        self.clock = clock
        self.flush = flush
        """Exports what was recorded; it may block, for 2 seconds at most."""
        self.guard = Guard(settings, faults) if settings.guard else None
        self.checkpoint_interval = settings.checkpoint_interval if settings.guard else 0.0
        self.streams: dict[Call, Key] = {}
        """The streams that have not ended, each with the key that it was counted under."""

    def begin(self, describe: Callable[[Call], CallFacts]) -> Call:
        """Return a new call, begun now, in the running task, context and request."""
        call = Call(self, describe, otel_context.get_current())
        request = REQUEST.get()
        if request is not None:
            request.began(call)
        return call

    def opened(self, call: Call) -> None:
        """Take a call's stream as open until the call ends."""
        call.is_stream = True
        call.requesting = False
        key = self.recorder.instruments.key(call.describe(call))
        self.streams[call] = key
        self.recorder.instruments.opened(key)
        self.driven(call, None)

    def driven(self, call: Call, before: "asyncio.Task[object] | None") -> None:
        """Take a stream that another task asks for chunks than before."""
        if self.guard is not None:
            self.guard.driven(call, before)

    def acted(self, call: Call, action: str) -> None:
        """Count an action of the guard's."""
        instruments = self.recorder.instruments
        key = self.streams.get(call) or instruments.key(call.describe(call))
        instruments.guarded(key, action)

    def completed(self, call: Call) -> bool:
        """Count a call that ran to its end, where no span is wanted of it: the common case."""
        if self.settings.spans == "all":
            return False
        key = self._forget(call)
        instruments = self.recorder.instruments
        instruments.count(key or instruments.key(call.describe(call)), Outcome.COMPLETED)
        return True

    def ended(self, call: Call, ending: Ending) -> None:
        """Record a call's one end, and see to it that nothing stays open behind it."""
        self._forget(call)
        parent = call.parent if isinstance(call.parent, Context) else None
        late = self.recorder.record(ending, parent)
        upstream, loop = call.upstream, call.loop
        if upstream is None or not ending.upstream_open or loop is None:
            return
        if late is not None:
            upstream.on_closed = late.closed
        # A stream may be dropped in another thread, by the garbage collector.
        in_loop = partial(self._after_end, loop, call, upstream, late)
        if running_loop() is loop:
            in_loop()
        elif not loop.is_closed():
            loop.call_soon_threadsafe(in_loop)

    def _forget(self, call: Call) -> Key | None:
        if isinstance(call.request, Request):
            call.request.ended(call)
            call.request = None
        key = self.streams.pop(call, None)
        if key is not None:
            self.recorder.instruments.closed(key)
            if self.guard is not None:
                self.guard.forget(call)
        return key

    def _after_end(
        self,
        loop: asyncio.AbstractEventLoop,
        call: Call,
        upstream: Upstream,
        late: LateClose | None,
    ) -> None:
        if upstream.reading():
            # A task of LiteLLM's own reads on: the proxy bills what was generated for nobody.
            upstream.on_closed = None
            if late is not None:
                late.give_up()
            return
        if late is not None:
            loop.call_later(self.settings.upstream_wait, late.give_up)
        if self.guard is not None:
            self.guard.close_upstream(call, upstream)
