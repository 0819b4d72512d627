"""Who is measured, and the endings that each is asked about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison; ``how`` is what an application writes to have it."""

    name: str
    title: str
    environment: str
    how: str
    package: str = "litellm"


BARE = Side("bare", "bare LiteLLM", "base", "nothing")

SIDES = (
    Side("again", "bare, once more", "base", "nothing: what differs by chance"),
    Side("empty", "an empty `CustomLogger`", "base", "`litellm.callbacks = [CustomLogger()]`"),
    Side(
        "ours",
        "litellm-cancel-otel",
        "base",
        "`litellm.callbacks = [CancelTelemetry()]`, `CancellationMiddleware`",
        "litellm-cancel-otel",
    ),
    Side("litellm-otel", "LiteLLM's `otel`", "base", '`litellm.callbacks = ["otel"]`'),
    Side(
        "openinference",
        "openinference",
        "openinference",
        "`LiteLLMInstrumentor().instrument()`",
        "openinference-instrumentation-litellm",
    ),
    Side(
        "traceloop",
        "Traceloop",
        "traceloop",
        "`OpenAIInstrumentor().instrument()`",
        "opentelemetry-instrumentation-openai",
    ),
    Side("openlit", "openlit", "openlit", "`openlit.init(...)`, LiteLLM alone", "openlit"),
    Side(
        "genai-openai",
        "genai-openai",
        "genai-openai",
        "`OpenAIInstrumentor().instrument()`",
        "opentelemetry-instrumentation-genai-openai",
    ),
    Side(
        "sentry",
        "sentry-sdk",
        "sentry",
        "`sentry_sdk.init(traces_sample_rate=1.0, integrations=[LiteLLMIntegration()])`",
        "sentry-sdk",
    ),
)

CLIENT_LEAVES = "client-leaves"

ENDINGS = {
    "completed": "the stream is read to its end",
    "error": "the provider answers 429",
    "cancel-body": "`task.cancel()`, not streamed",
    "cancel-first-byte": "`task.cancel()` before the first byte",
    "cancel-waiting": "`task.cancel()` between two chunks",
    "timeout": "`asyncio.timeout` in a stream",
    "wait-for": "`asyncio.wait_for`, not streamed",
    CLIENT_LEAVES: "the client of uvicorn goes away",
    "aclose": "`aclose()` of the stream",
    "break": "`break` out of the stream",
    "internal-connect": "the HTTP layer cancels at connect",
    "internal-stream": "the HTTP layer cancels in the stream",
    "shutdown": "`asyncio.run` ends",
}
"""By the demo's names, which docs/demo.md explains."""
