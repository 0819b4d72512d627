"""The neighbours whose spans do not go to OpenTelemetry's global provider."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from .guest import Guest, Seen, stays


def langfuse(memory: object) -> Guest:
    """Add LiteLLM's callback, which sends to a receiver on loopback."""
    import litellm

    from support.otlp_sink import OtlpSink

    sink = OtlpSink().__enter__()
    os.environ |= {
        "LANGFUSE_PUBLIC_KEY": "pk-none",
        "LANGFUSE_SECRET_KEY": "sk-none",
        "LANGFUSE_HOST": sink.http_endpoint,
    }
    litellm.success_callback.append("langfuse")
    litellm.failure_callback.append("langfuse")

    def seen() -> Seen:
        from litellm.integrations.langfuse.langfuse_sdk import flush_langfuse_tracing

        flush_langfuse_tracing()
        found: Seen = {}
        for span in sink.spans:
            found.setdefault(span.name, []).append(("UNSET", "OK", "ERROR")[span.proto.status.code])
        return found

    return Guest(stays, seen=seen)


def sentry(memory: object) -> Guest:
    """Initialize Sentry with its integration, and keep what it would send."""
    import sentry_sdk
    from sentry_sdk.integrations.litellm import LiteLLMIntegration
    from sentry_sdk.integrations.openai import OpenAIIntegration
    from sentry_sdk.transport import Transport

    sent: list[Any] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope)

    sentry_sdk.init(
        "http://key@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        integrations=[LiteLLMIntegration()],
        disabled_integrations=[OpenAIIntegration],  # on by itself, it tells each call once more
        transport=Kept,
    )

    def around(way: str) -> AbstractContextManager[object]:
        return sentry_sdk.start_transaction(name=way)

    def seen() -> Seen:
        found: Seen = {}
        for envelope in sent:
            event = envelope.get_transaction_event() or {}
            # Spans of a model's answers go beside the transaction, in an item of their own.
            apart = [one.payload.json["items"] for one in envelope.items if one.type == "span"]
            for span in (one for items in apart for one in items):
                found.setdefault(event["transaction"], []).append(span["status"].upper())
        return found

    return Guest(stays, around, seen)
