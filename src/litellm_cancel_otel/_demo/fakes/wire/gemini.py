"""Google's Gemini: generateContent, as AI Studio and Vertex AI speak it."""

from __future__ import annotations

from litellm_cancel_otel._demo.fakes.wire.base import (
    PROMPT_TOKENS,
    SSE_RUBBISH,
    Answer,
    Body,
    Call,
    Json,
    Stream,
    json_body,
    piece,
    sse,
    text_of,
)

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    match call.operation:
        case "generateContent":
            return json_body(_content(call, text_of(pieces), pieces, "STOP"))
        case "streamGenerateContent":
            return Stream(
                opening=b"",
                chunk=lambda index: sse(_content(call, piece(index), index + 1)),
                closing=lambda sent: sse(_content(call, "", sent, "STOP")),
                rubbish=SSE_RUBBISH,
            )
        case _:
            return None


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    return json_body(
        {
            "error": {
                "code": status,
                "message": f"fake {call.wire} error {status}",
                "status": _STATUS.get(status, "INTERNAL"),
            }
        }
    )


def _content(call: Call, text: str, tokens: int, finish_reason: str | None = None) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": tokens,
            "totalTokenCount": PROMPT_TOKENS + tokens,
        },
        "modelVersion": call.model,
        "responseId": "fake",
    }
