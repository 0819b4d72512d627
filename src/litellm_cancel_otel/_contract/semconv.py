"""Every name that leaves this package: attributes, metrics, events, the tracer's and meter's name.

Dashboards, alerts and tests read the names from here, so that a rename cannot leave one behind.
Names that begin with ``gen_ai.``, ``server.`` or ``error.`` are OpenTelemetry's own
(https://opentelemetry.io/docs/specs/semconv/gen-ai/).
"""

from typing import Final, NamedTuple

SCOPE: Final = "litellm_cancel_otel"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"

# Attributes of the call.
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_MODEL: Final = "gen_ai.response.model"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CALL_ID: Final = "litellm.call_id"
ERROR_TYPE: Final = "error.type"

# Attributes of its cancellation.
CANCELLATION_TYPE: Final = "cancellation_type"
SOURCE: Final = "litellm_cancel.source"
PHASE: Final = "litellm_cancel.phase"
SIGNAL: Final = "litellm_cancel.signal"
ENDED_BY: Final = "litellm_cancel.ended_by"
CHUNKS: Final = "litellm_cancel.chunks"
DISCONNECT_TO_FINALLY: Final = "litellm_cancel.disconnect_to_finally"
DISCONNECT_TO_UPSTREAM_CLOSE: Final = "litellm_cancel.disconnect_to_upstream_close"
UPSTREAM_UNSTOPPABLE: Final = "litellm_cancel.upstream.unstoppable"
CHUNKS_UNDELIVERED: Final = "litellm_cancel.chunks.undelivered"
TOKENS_UNDELIVERED: Final = "litellm_cancel.output_tokens.undelivered"
COST_UNDELIVERED: Final = "litellm_cancel.cost.undelivered"
DELIVERED: Final = "litellm_cancel.delivered"
CANCEL_MESSAGE: Final = "litellm_cancel.message"

# Attributes of a stuck stream: of its first span, and of the event.
STUCK: Final = "litellm_cancel.stuck"
STUCK_REASON: Final = "litellm_cancel.stuck.reason"
STUCK_AGE: Final = "litellm_cancel.stuck.age"
STUCK_WHERE: Final = "litellm_cancel.stuck.where"
EVENT_LOOP_LAG: Final = "litellm_cancel.event_loop.lag"

# Attributes of single instruments.
OUTCOME: Final = "outcome"
REASON: Final = "reason"
ACTION: Final = "action"
SEAM: Final = "seam"

# Events on the span.
EVENT_FIRST_CHUNK: Final = "first_chunk"
EVENT_DISCONNECT: Final = "disconnect"
EVENT_CANCEL_DELIVERED: Final = "cancel_delivered"
EVENT_UPSTREAM_CLOSED: Final = "upstream_closed"
EVENT_STUCK: Final = "stuck"
EVENT_GUARD: Final = "guard"

UNKNOWN: Final = "unknown"
"""The value that stands for a provider, or a model, that LiteLLM did not find out."""

NO_FAULT: Final = "none"
"""The seam of a series that says only that somebody reports."""

STOPPED: Final = "stopped"
"""The seam of a series that says that no more will come, and that this is as it should be."""

OTHER: Final = "_other"
"""The value that stands for every model, and every provider, past the limit of distinct ones."""

LATENCY_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""Bucket boundaries of every latency histogram, in seconds."""


class Metric(NamedTuple):
    """One instrument: its kind as OpenTelemetry names it, unit (UCUM) and what it says."""

    name: str
    kind: str
    unit: str
    description: str


CALLS: Final = Metric(
    "litellm_cancel.calls", "counter", "{call}", "LiteLLM calls that ended, by outcome."
)
CANCELLATIONS: Final = Metric(
    "litellm_cancel.cancellations", "counter", "{call}", "LiteLLM calls that ended in a cancel."
)
TO_FINALLY: Final = Metric(
    DISCONNECT_TO_FINALLY,
    "histogram",
    "s",
    "Time from the disconnect until no frame is suspended on the call any more.",
)
TO_UPSTREAM_CLOSE: Final = Metric(
    DISCONNECT_TO_UPSTREAM_CLOSE,
    "histogram",
    "s",
    "Time from the disconnect until the provider's HTTP response is closed.",
)
TIME_TO_CANCEL: Final = Metric(
    "litellm_cancel.time_to_cancel", "histogram", "s", "Time from a call's start to its cancel."
)
STREAMS_OPEN: Final = Metric(
    "litellm_cancel.streams.open", "updowncounter", "{stream}", "Streams that have not ended."
)
STREAMS_STUCK: Final = Metric(
    "litellm_cancel.streams.stuck",
    "gauge",
    "{stream}",
    "Streams that should have ended or moved by now and have not.",
)
OLDEST_AFTER_DISCONNECT: Final = Metric(
    "litellm_cancel.streams.oldest_after_disconnect",
    "gauge",
    "s",
    "Age of the oldest stream whose client is gone and whose finally has not run.",
)
UNDELIVERED: Final = Metric(
    CHUNKS_UNDELIVERED,
    "counter",
    "{chunk}",
    "Chunks received from the provider after the disconnect, by outcome.",
)
UNDELIVERED_TOKENS: Final = Metric(
    TOKENS_UNDELIVERED,
    "counter",
    "{token}",
    "Output tokens received after the disconnect, where LiteLLM knows them, by outcome.",
)
UNDELIVERED_COST: Final = Metric(
    COST_UNDELIVERED,
    "counter",
    "USD",
    "What these tokens cost by LiteLLM's price of the model, where it knows one, by outcome.",
)
SWALLOWED: Final = Metric(
    "litellm_cancel.swallowed",
    "counter",
    "{call}",
    "Calls that returned although their task had been told to stop.",
)
GUARD_ACTIONS: Final = Metric(
    "litellm_cancel.guard.actions", "counter", "{action}", "What the guard did to clean up."
)
LOOP_LAG: Final = Metric(
    "litellm_cancel.event_loop.lag", "histogram", "s", "How late the event loop runs what is due."
)
INTERNAL_ERRORS: Final = Metric(
    "litellm_cancel.internal_errors",
    "counter",
    "{error}",
    "Faults of this package itself, none of which reached the caller.",
)

METRICS: Final = (
    CALLS,
    CANCELLATIONS,
    TO_FINALLY,
    TO_UPSTREAM_CLOSE,
    TIME_TO_CANCEL,
    STREAMS_OPEN,
    STREAMS_STUCK,
    OLDEST_AFTER_DISCONNECT,
    UNDELIVERED,
    UNDELIVERED_TOKENS,
    UNDELIVERED_COST,
    SWALLOWED,
    GUARD_ACTIONS,
    LOOP_LAG,
    INTERNAL_ERRORS,
)

_WELL_KNOWN_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "anthropic_text": "anthropic",
    "azure": "azure.ai.openai",
    "azure_text": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "text-completion-openai": "openai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "watsonx_text": "ibm.watsonx.ai",
    "xai": "x_ai",
}


KNOWN_PROVIDERS: Final = frozenset({UNKNOWN, *_WELL_KNOWN_PROVIDERS.values()})
"""The providers that have a name in the semantic conventions, and the word for having none."""


LITELLM_PROVIDERS: Final = frozenset(_WELL_KNOWN_PROVIDERS)
"""Those of LiteLLM's names that have another here; some of them LiteLLM's own list lacks."""


def provider_name(litellm_provider: str) -> str:
    """Return the semantic conventions' name of a LiteLLM provider, or LiteLLM's own."""
    return _WELL_KNOWN_PROVIDERS.get(litellm_provider, litellm_provider)


# LiteLLM splits some providers by endpoint; a cancel belongs to the provider, not the endpoint.
_PROVIDER_FAMILY: Final = {
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "text-completion-openai": "openai",
}


def internal_cancellation_type(litellm_provider: str) -> str:
    """Return the ``cancellation_type`` of an internal cancel at a LiteLLM provider."""
    return f"{_PROVIDER_FAMILY.get(litellm_provider, litellm_provider)}_internal"


EXTERNAL: Final = "external"
