"""Ollama's chat and its older generate: one JSON object a line."""

from __future__ import annotations

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

_CREATED_AT = "2023-11-14T22:13:20Z"


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    if call.operation not in ("chat", "generate"):
        return None
    if call.payload.get("stream") is False:
        return json_body({**_part(call, text_of(pieces)), **_end(pieces)})
    return Stream(
        opening=b"",
        chunk=lambda index: _line({**_part(call, piece(index)), "done": False}),
        closing=lambda sent: _line({**_part(call, ""), **_end(sent)}),
        rubbish=b"{rubbish\xff\n",
        content_type="application/x-ndjson",
    )


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    return json_body({"error": f"fake {call.wire} error {status}"})


def _part(call: Call, text: str) -> Json:
    part: Json = {"model": call.model, "created_at": _CREATED_AT}
    if call.operation == "chat":
        part["message"] = {"role": "assistant", "content": text}
    else:
        part["response"] = text
    return part


def _end(pieces: int) -> Json:
    return {
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": PROMPT_TOKENS,
        "eval_count": pieces,
    }


def _line(value: Json) -> bytes:
    return json_bytes(value) + b"\n"
