"""The LiteLLM callback that an application creates: it puts everything together."""

import logging
import time
from importlib.metadata import version
from types import TracebackType
from typing import Self

from litellm.integrations.custom_logger import CustomLogger
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from . import _semconv as sc
from . import _seams
from ._export import resolve
from ._faults import Faults
from ._instruments import Instruments
from ._recorder import Recorder
from ._settings import Settings
from ._spans import Spans
from ._tracker import Tracker

VERSION = version("litellm-cancel-otel")


class CancelTelemetry(CustomLogger):
    """Makes every cancellation of an asynchronous LiteLLM call visible in OpenTelemetry.

    ``litellm.callbacks = [CancelTelemetry()]`` is all that an application writes. Creating it
    hooks into LiteLLM; ``close()``, or leaving it as a context manager, puts everything back.
    Of several that are open the newest records; none wraps twice.

    ``tracer_provider`` and ``meter_provider`` default to OpenTelemetry's global ones or, where the
    application has set none and the ``OTEL_*`` variables name an exporter or endpoint, to ones made
    from those. ``settings`` defaults to what ``LITELLM_CANCEL_OTEL_*`` say.

    Raises ValueError for a setting out of its range.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        settings = Settings.from_env() if settings is None else settings
        clock = time.perf_counter
        faults = Faults()
        self._pipeline = resolve(tracer_provider, meter_provider)
        instruments = Instruments(
            self._pipeline.meter_provider, VERSION, faults, max_models=settings.max_models
        )
        spans = Spans(self._pipeline.tracer_provider, VERSION)
        self._recorder = Recorder(spans, instruments, settings.spans, clock)
        self._tracker = Tracker(self._recorder, settings, faults, clock)
        self.missing_seams = tuple(_seams.install(self._tracker))
        """What of the installed LiteLLM could not be hooked into, each with its reason."""

    def flush(self) -> bool:
        """Export what was recorded so far; return whether that ended in time."""
        self._recorder.flush()
        return self._pipeline.flush()

    def close(self) -> None:
        """Put LiteLLM back as it was, and export what was recorded."""
        _seams.uninstall(self._tracker)
        self._recorder.close()
        self._pipeline.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()
