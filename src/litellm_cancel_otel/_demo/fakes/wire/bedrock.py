"""Bedrock's runtime: Converse, and InvokeModel for Anthropic's models and Titan's embeddings."""

from __future__ import annotations

from base64 import b64encode

from litellm_cancel_otel._demo.fakes.wire import anthropic, eventstream
from litellm_cancel_otel._demo.fakes.wire.base import (
    PROMPT_TOKENS,
    Answer,
    Body,
    Call,
    Json,
    Stream,
    json_body,
    json_bytes,
    piece,
    text_of,
)

VECTOR = (0.1, 0.2, 0.3)
"""The embedding of every input."""

_ERROR_TYPES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    match call.operation:
        case "converse":
            return json_body(_converse(pieces))
        case "converse-stream":
            return _converse_stream()
        case "invoke":
            return _invoke(call, pieces)
        case "invoke-with-response-stream":
            return _invoke_stream(call)
        case _:
            return None


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    kind = _ERROR_TYPES.get(status, "InternalServerException")
    content = json_bytes({"message": f"fake {call.wire} error {status}"})
    return Body(content, headers=(("x-amzn-errortype", kind),))


def _usage(pieces: int) -> Json:
    return {
        "inputTokens": PROMPT_TOKENS,
        "outputTokens": pieces,
        "totalTokens": PROMPT_TOKENS + pieces,
    }


def _converse(pieces: int) -> Json:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": text_of(pieces)}]}},
        "stopReason": "end_turn",
        "usage": _usage(pieces),
        "metrics": {"latencyMs": 1},
    }


def _converse_stream() -> Stream:
    def event(kind: str, payload: Json) -> bytes:
        return eventstream.event(kind, json_bytes(payload))

    def chunk(index: int) -> bytes:
        return event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece(index)}})

    def closing(sent: int) -> bytes:
        return b"".join(
            (
                event("contentBlockStop", {"contentBlockIndex": 0}),
                event("messageStop", {"stopReason": "end_turn"}),
                event("metadata", {"usage": _usage(sent), "metrics": {"latencyMs": 1}}),
            )
        )

    return Stream(
        opening=event("messageStart", {"role": "assistant"}),
        chunk=chunk,
        closing=closing,
        rubbish=eventstream.RUBBISH,
        content_type=eventstream.CONTENT_TYPE,
    )


def _invoke(call: Call, pieces: int) -> Body:
    if "embed" in call.model:
        return json_body({"embedding": list(VECTOR), "inputTextTokenCount": PROMPT_TOKENS})
    return json_body(anthropic.message(call, pieces))


def _invoke_stream(call: Call) -> Stream:
    def wrapped(event: Json) -> bytes:
        inner = b64encode(json_bytes(event)).decode()
        return eventstream.event("chunk", json_bytes({"bytes": inner}))

    return Stream(
        opening=b"".join(map(wrapped, anthropic.opening_events(call))),
        chunk=lambda index: wrapped(anthropic.delta_event(index)),
        closing=lambda sent: b"".join(map(wrapped, anthropic.closing_events(sent))),
        rubbish=eventstream.RUBBISH,
        content_type=eventstream.CONTENT_TYPE,
        headers=(("x-amzn-bedrock-content-type", "application/json"),),
    )
