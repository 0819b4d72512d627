"""The neighbours: how each comes and goes, and what it is known to see."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from .guest import Guest, remove_callbacks, stays
from .others import langfuse, sentry

WAYS = ("completed", "cancelled", "streamed", "stream cancelled")
"""The calls that are made beside each neighbour."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One other instrumentation; the last four are its row in docs/integrations.md."""

    come: Callable[[InMemorySpanExporter], Guest]
    """Instrument LiteLLM, or what is below it."""
    scope: str | None = None
    """How the names of its tracers begin; None where its spans do not go to OpenTelemetry."""
    leaves: bool = True
    """Whether it can be undone."""
    provides: bool = False
    """Whether it sets OpenTelemetry's global provider itself."""
    package: str = ""
    sees: tuple[str, str, str, str] = ("UNSET", "UNSET", "UNSET", "UNSET")
    """The status of its span for each of the WAYS; empty where there is none."""
    ours: str = "sibling"
    """What this package's span is to its span: child, sibling, or apart: another trace."""
    note: str = ""
    holds: tuple[str, ...] = ()
    """The places at which it wraps what is there and keeps it, where it came last."""


def _instrumentor(instrumentor: Any) -> Guest:
    instrumentor.instrument()
    return Guest(instrumentor.uninstrument)


def _openinference(memory: InMemorySpanExporter) -> Guest:
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    return _instrumentor(LiteLLMInstrumentor())


def _logfire(memory: InMemorySpanExporter) -> Guest:
    import logfire
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[SimpleSpanProcessor(memory)],
    )
    logfire.instrument_litellm()
    return Guest(LiteLLMInstrumentor().uninstrument)


def _traceloop(memory: InMemorySpanExporter) -> Guest:
    from opentelemetry.instrumentation.litellm import LiteLLMInstrumentor
    from traceloop.sdk import Traceloop
    from traceloop.sdk.instruments import Instruments

    Traceloop.init(
        "neighbour", exporter=memory, disable_batch=True, instruments={Instruments.LITELLM}
    )
    return Guest(LiteLLMInstrumentor().uninstrument)


def _traceloop_openai(memory: InMemorySpanExporter) -> Guest:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return _instrumentor(OpenAIInstrumentor())


def _genai_openai(memory: InMemorySpanExporter) -> Guest:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    return _instrumentor(OpenAIInstrumentor())


def _httpx(memory: InMemorySpanExporter) -> Guest:
    import litellm
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    litellm.disable_aiohttp_transport = True
    return _instrumentor(HTTPXClientInstrumentor())


def _aiohttp(memory: InMemorySpanExporter) -> Guest:
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

    return _instrumentor(AioHttpClientInstrumentor())


def _openlit(memory: InMemorySpanExporter) -> Guest:
    import openlit

    quiet: dict[str, Any] = {"disable_metrics": True, "disable_events": True}
    openlit.init(disable_batch=True, pricing_json="none.json", **quiet)  # else it looks on the net
    return Guest(stays)


def _callback(callback: Any) -> Guest:
    import litellm

    litellm.callbacks.append(callback)
    return Guest(lambda: remove_callbacks(lambda one: one is callback))


def _litellm_otel(memory: InMemorySpanExporter) -> Guest:
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

    os.environ["USE_OTEL_LITELLM_REQUEST_SPAN"] = "true"
    return _callback(OpenTelemetry(OpenTelemetryConfig(exporter=memory)))


def _litellm_otel_v2(memory: InMemorySpanExporter) -> Guest:
    from litellm.integrations.otel.logger import OpenTelemetryV2
    from litellm.integrations.otel.model.config import OpenTelemetryV2Config

    provider: Any = trace.get_tracer_provider()
    return _callback(OpenTelemetryV2(OpenTelemetryV2Config(), tracer_provider=provider))


KNOWN = {
    "openinference": Neighbour(
        _openinference,
        "openinference.instrumentation.litellm",
        package="`openinference-instrumentation-litellm` 0.1.51",
        sees=("OK", "UNSET", "OK", "UNSET"),
        ours="child",
    ),
    "logfire": Neighbour(
        _logfire,
        "openinference.instrumentation.litellm",
        provides=True,
        package="`logfire` 5.4.0, `instrument_litellm()`",
        sees=("OK", "UNSET", "OK", "UNSET"),
        ours="child",
        note="It uses openinference's.",
    ),
    "traceloop": Neighbour(
        _traceloop,
        "opentelemetry.instrumentation.litellm",
        provides=True,
        package="`traceloop-sdk` 0.62.4",
        sees=("OK", "", "OK", "OK"),
    ),
    "openlit": Neighbour(
        _openlit,
        "openlit",
        leaves=False,
        package="`openlit` 1.45.0",
        sees=("OK", "UNSET", "OK", "OK"),
        ours="child",
        note="Nothing undoes it.",
    ),
    "traceloop-openai": Neighbour(
        _traceloop_openai,
        "opentelemetry.instrumentation.openai",
        leaves=False,
        package="`opentelemetry-instrumentation-openai` 0.62.4 (Traceloop's)",
        sees=("UNSET", "", "UNSET", "UNSET"),
        note="Its `uninstrument()` leaves the method as it is.",
    ),
    "genai-openai": Neighbour(
        _genai_openai,
        "opentelemetry.instrumentation.genai.openai",
        package="`opentelemetry-instrumentation-genai-openai` 1.3b0",
        sees=("UNSET", "ERROR", "UNSET", "UNSET"),
    ),
    "httpx": Neighbour(
        _httpx,
        "opentelemetry.instrumentation.httpx",
        package="`opentelemetry-instrumentation-httpx` 0.66b1",
        note="It sees LiteLLM's requests with `DISABLE_AIOHTTP_TRANSPORT=True` alone.",
    ),
    "aiohttp": Neighbour(
        _aiohttp,
        "opentelemetry.instrumentation.aiohttp_client",
        leaves=False,
        package="`opentelemetry-instrumentation-aiohttp-client` 0.66b1",
        sees=("UNSET", "ERROR", "UNSET", "UNSET"),
        note="The sessions that LiteLLM has open keep it after `uninstrument()`.",
    ),
    "litellm-otel": Neighbour(
        _litellm_otel,
        "litellm",
        package='LiteLLM\'s `"otel"` callback, with `USE_OTEL_LITELLM_REQUEST_SPAN=true`',
        sees=("OK", "", "OK", ""),
        note="Without that variable it writes into the span that it finds.",
    ),
    "litellm-otel-v2": Neighbour(
        _litellm_otel_v2,
        "litellm",
        package='LiteLLM\'s `"otel"` callback with `LITELLM_OTEL_V2=true`',
        sees=("UNSET", "", "UNSET", ""),
    ),
    "langfuse": Neighbour(
        langfuse,
        leaves=False,
        package='LiteLLM\'s `"langfuse"` callback, `langfuse` 4.18.0',
        sees=("UNSET", "", "UNSET", ""),
        ours="apart",
        note="Out of the lists, it is called all the same. LiteLLM 1.106.2 refuses `langfuse` 5.",
    ),
    "sentry": Neighbour(
        sentry,
        leaves=False,
        package="`sentry-sdk` 2.75.0, `LiteLLMIntegration`",
        sees=("OK", "", "OK", ""),
        ours="apart",
        note="Its OpenAI integration, on by itself, tells each call once more. Nothing undoes it.",
        holds=("AsyncClient.send",),
    ),
}


def markdown_table() -> str:
    """Return what is known as the table that docs/integrations.md shows."""
    rows = [
        f"| {one.package} | {' | '.join(status or 'no span' for status in one.sees)} "
        f"| {one.ours} | {one.note} |"
        for one in KNOWN.values()
    ]
    head = f"| beside | {' | '.join(WAYS)} | ours is | besides |"
    return "\n".join((head, "|---" * (len(WAYS) + 3) + "|", *rows, ""))
