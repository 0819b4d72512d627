"""Cohere's chat: version 2 of its API, and version 1, which LiteLLM 1.72 speaks.

LiteLLM accepts JSON and no server-sent events, so that a stream is one JSON object a line.
"""

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

_LINES = "application/stream+json"
_RUBBISH = b"{rubbish\xff\n"


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    match call.operation:
        case "v1/chat":
            return _old_stream() if call.stream else json_body(_old(pieces))
        case "v2/chat":
            return _stream() if call.stream else json_body(_message(pieces))
        case _:
            return None


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    return json_body({"id": "fake", "message": f"fake {call.wire} error {status}"})


def _usage(pieces: int) -> Json:
    tokens = {"input_tokens": PROMPT_TOKENS, "output_tokens": pieces}
    return {"billed_units": tokens, "tokens": tokens}


def _message(pieces: int) -> Json:
    return {
        "id": "fake",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": text_of(pieces)}]},
        "usage": _usage(pieces),
    }


def _stream() -> Stream:
    def content(kind: str, fields: Json) -> bytes:
        return _line({"type": kind, "index": 0, "delta": {"message": {"content": fields}}})

    def closing(sent: int) -> bytes:
        end = {"finish_reason": "COMPLETE", "usage": _usage(sent)}
        return _line({"type": "content-end", "index": 0}) + _line(
            {"type": "message-end", "id": "fake", "delta": end}
        )

    start: Json = {"message": {"role": "assistant", "content": [], "tool_calls": []}}
    return Stream(
        opening=_line({"type": "message-start", "id": "fake", "delta": start})
        + content("content-start", {"type": "text", "text": ""}),
        chunk=lambda index: content("content-delta", {"text": piece(index)}),
        closing=closing,
        rubbish=_RUBBISH,
        content_type=_LINES,
    )


def _old(pieces: int) -> Json:
    return {
        "response_id": "fake",
        "generation_id": "fake",
        "text": text_of(pieces),
        "finish_reason": "COMPLETE",
        "chat_history": [],
        "meta": _usage(pieces),
    }


def _old_stream() -> Stream:
    def event(kind: str, *, is_finished: bool = False, **fields: object) -> bytes:
        return _line({"event_type": kind, "is_finished": is_finished, **fields})

    return Stream(
        opening=event("stream-start", generation_id="fake"),
        chunk=lambda index: event("text-generation", text=piece(index)),
        closing=lambda sent: event(
            "stream-end", is_finished=True, finish_reason="COMPLETE", response=_old(sent)
        ),
        rubbish=_RUBBISH,
        content_type=_LINES,
    )


def _line(value: Json) -> bytes:
    return json_bytes(value) + b"\n"
