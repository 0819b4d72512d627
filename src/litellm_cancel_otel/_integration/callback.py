"""The LiteLLM callback that an application creates: it puts everything together."""

import time
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from litellm.integrations.custom_logger import CustomLogger
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .. import _seams
from .._asyncio.tasks import running_loop
from .._contract.faults import Faults
from .._contract.records import StreamState
from .._contract.settings import Settings
from .._seams.facts import logged_usage
from .._telemetry.before_export import BeforeExport
from .._telemetry.instruments import Instruments
from .._telemetry.pipeline import resolve
from .._telemetry.recorder import Recorder
from .._telemetry.spans import Spans
from .._tracking.snapshot import snapshot
from .._tracking.tracker import Tracker
from .feed import Feed

VERSION = version("litellm-cancel-otel")


class CancelTelemetry(CustomLogger):
    """Makes every cancellation of an asynchronous LiteLLM call visible in OpenTelemetry.

    ``litellm.callbacks = [CancelTelemetry()]`` is all that an application writes. Creating it
    hooks into LiteLLM; ``close()``, or leaving it as a context manager, puts everything back.
    Of several that are open the newest records; none wraps twice.

    ``tracer_provider`` and ``meter_provider`` default to OpenTelemetry's global ones or, where the
    application has set none and the ``OTEL_*`` variables name an exporter or endpoint, to ones made
    from those. ``settings`` defaults to what ``LITELLM_CANCEL_OTEL_*`` say; a variable that does
    not fit is a warning in the log.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        # A typing error in a variable must not keep an application from starting.
        settings = Settings.from_env(strict=False) if settings is None else settings
        clock = time.perf_counter
        faults = Faults()
        self._pipeline = resolve(tracer_provider, meter_provider)
        instruments = Instruments(
            self._pipeline.meter_provider, VERSION, faults, max_models=settings.max_models
        )
        spans = Spans(self._pipeline.tracer_provider, VERSION, faults)
        self._recorder = Recorder(spans, instruments, settings.spans, clock)
        self._feed = None
        if settings.top_socket is not None:
            self._feed = Feed(settings.top_socket, self._states, faults)
        self._clock = clock
        exports = BeforeExport(
            self._pipeline.tracer_provider, self._pipeline.meter_provider, faults
        )
        self._tracker = Tracker(
            self._recorder, settings, faults, clock, self._flush_last, exports, self._feed
        )
        # Not at once: an application may set its providers later.
        self._tracker.before_first = self._pipeline.tell_nowhere
        self.missing_seams = tuple(_seams.install(self._tracker))
        """What of the installed LiteLLM could not be hooked into, each with its reason."""

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Take from LiteLLM's log of a call how long the answer was; nothing else is read."""
        if self._tracker.waits_for_usage and (usage := logged_usage(kwargs)) is not None:
            self._tracker.used(*usage)

    def _states(self) -> list[StreamState]:
        return snapshot(self._tracker, self._clock(), chains=True)

    def flush(self) -> bool:
        """Export what was recorded so far; return whether that ended in time.

        It waits for the exporter, 2 seconds at most: in an event loop, call it in a thread.
        """
        self._tracker.notes.settle()
        self._recorder.flush()
        return self._pipeline.flush()

    def _flush_last(self) -> bool:
        """Export what was recorded, and that the process stops because somebody stopped it."""
        self._recorder.stop()
        return self.flush()

    def close(self) -> None:
        """Put LiteLLM back as it was, its lists of callbacks too, and export what was recorded.

        In an event loop it does not wait for the exporter; the process's exit does.
        """
        if self._feed is not None:
            self._feed.close()
        _seams.uninstall(self._tracker)
        _seams.remove_callback(self)
        self._tracker.close()
        self._recorder.close()
        if running_loop() is None:
            self._pipeline.shutdown()
        else:
            self._pipeline.shutdown(0)

    def __repr__(self) -> str:
        streams = len(self._tracker.streams)
        return f"<CancelTelemetry: {streams} streams open, {len(self.missing_seams)} seams missing>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
