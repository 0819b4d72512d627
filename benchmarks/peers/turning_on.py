"""Turns a side on, in a process of its own, as its documentation tells an application to."""

import gc
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from .heard import Heard, SpansHeard, named

Wrap = Callable[[Any], Any]
"""What is put around an ASGI application."""


def turned_on(name: str) -> tuple[Heard, Wrap]:
    """Turn a side on; return what it tells, and what it puts around an application."""
    heard = Heard()
    wrap: Wrap | None = _TURN_ON[name](heard)
    return heard, wrap or (lambda app: app)


def _bare(heard: Heard) -> None:
    """Turn nothing on."""


def _empty(heard: Heard) -> None:
    class Empty(CustomLogger):
        pass

    litellm.callbacks = [Empty()]


def _callback(heard: Heard) -> None:
    """What any callback is told, where an empty one would not tell it on."""

    class Told(CustomLogger):
        async def async_log_success_event(self, **_: Any) -> None:
            heard.say("success")

        async def async_log_failure_event(self, kwargs: Any, **_: Any) -> None:
            heard.say(named(type(kwargs.get("exception")).__name__))

    litellm.callbacks = [Told()]


def _ours(heard: Heard) -> Wrap:
    from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry

    reader = _otel(heard)
    litellm.callbacks = [CancelTelemetry()]
    heard.counted = _Calls(reader).change
    return CancellationMiddleware


def _litellm_otel(heard: Heard) -> None:
    _otel(heard)
    litellm.callbacks = ["otel"]


def _openinference(heard: Heard) -> None:
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    _otel(heard)
    LiteLLMInstrumentor().instrument()


def _traceloop(heard: Heard) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    _otel(heard)
    OpenAIInstrumentor().instrument()


def _openlit(heard: Heard) -> None:
    import openlit

    _otel(heard)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:
        # Without a file of prices it asks for one over the network.
        json.dump({"chat": {}, "embeddings": {}}, prices)
        prices.flush()
        openlit.init(pricing_json=prices.name, disabled_instrumentors=_OTHERS)


_OTHERS = [
    *("aiohttp-client", "asgi", "fastapi", "httpx", "openai", "requests", "starlette"),
    *("urllib", "urllib3"),
]
"""What openlit would also watch: LiteLLM's calls are what is compared."""


def _genai_openai(heard: Heard) -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    _otel(heard)
    OpenAIInstrumentor().instrument()


def _sentry(heard: Heard) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.litellm import LiteLLMIntegration
    from sentry_sdk.transport import Transport

    class Noted(Transport):  # type: ignore[misc] - the class is there only in its environment
        def capture_envelope(self, envelope: Any) -> None:
            if (event := envelope.get_event()) is not None:
                raised = event.get("exception", {}).get("values") or [{"type": ""}]
                heard.say(named(raised[-1]["type"]))
            elif (event := envelope.get_transaction_event()) is not None:
                trace = event["contexts"]["trace"]
                if trace["op"].startswith("gen_ai"):  # not its span of the whole request
                    status = trace.get("status", "ok")
                    heard.say("success" if status == "ok" else f"error: {status}")

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        transport=Noted,
        integrations=[LiteLLMIntegration()],
    )
    heard.still_current = lambda: sentry_sdk.get_current_span() is not None
    heard.count_open = lambda: sum(
        isinstance(one, sentry_sdk.tracing.Span) and one.timestamp is None
        for one in gc.get_objects()
    )


def _otel(heard: Heard) -> InMemoryMetricReader:
    """Set global providers, as an application does that has OpenTelemetry."""
    tracers = TracerProvider()
    tracers.add_span_processor(SpansHeard(heard))
    trace.set_tracer_provider(tracers)
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    # For what makes a pipeline of its own beside these: it shall reach nothing.
    for signal in ("TRACES", "METRICS", "LOGS"):
        os.environ[f"OTEL_{signal}_EXPORTER"] = "none"
    return reader


class _Calls:
    """Reads what ``litellm_cancel.calls`` counted since the last time."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self._reader = reader
        self._before: Counter[str] = Counter()

    def change(self) -> str:
        """Return the outcomes that were counted."""
        now: Counter[str] = Counter()
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == "litellm_cancel.calls":
                        for point in metric.data.data_points:
                            now[str((point.attributes or {})["outcome"])] += int(point.value)
        change, self._before = now - self._before, now
        return ", ".join(f"counted: {outcome}" for outcome in change)


_TURN_ON: dict[str, Callable[[Heard], Wrap | None]] = {
    "bare": _bare,
    "again": _bare,
    "empty": _empty,
    "callback": _callback,
    "ours": _ours,
    "litellm-otel": _litellm_otel,
    "openinference": _openinference,
    "traceloop": _traceloop,
    "openlit": _openlit,
    "genai-openai": _genai_openai,
    "sentry": _sentry,
}
