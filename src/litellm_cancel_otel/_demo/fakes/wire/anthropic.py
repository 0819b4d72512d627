"""Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterator

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

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    if call.operation != "messages":
        return None
    if not call.stream:
        return json_body(message(call, pieces))
    return Stream(
        opening=b"".join(map(_sse, opening_events(call))),
        chunk=lambda index: _sse(delta_event(index)),
        closing=lambda sent: b"".join(map(_sse, closing_events(sent))),
        rubbish=b"event: content_block_delta\n" + SSE_RUBBISH,
    )


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    kind = _ERROR_TYPES.get(status, "api_error")
    return json_body(
        {
            "type": "error",
            "error": {"type": kind, "message": f"fake {call.wire} error {status}"},
            "request_id": "req_fake",
        }
    )


def message(call: Call, pieces: int | None) -> Json:
    """The message object; None pieces for the empty one that opens a stream."""
    return {
        "id": "msg_fake",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [] if pieces is None else [{"type": "text", "text": text_of(pieces)}],
        "stop_reason": None if pieces is None else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1 if pieces is None else pieces,
        },
    }


def opening_events(call: Call) -> Iterator[Json]:
    """The events before the first piece of text."""
    yield {"type": "message_start", "message": message(call, None)}
    yield {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    yield {"type": "ping"}


def delta_event(index: int) -> Json:
    """The event of one piece of text, counted from 0."""
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": piece(index)},
    }


def closing_events(sent: int) -> Iterator[Json]:
    """The events after the last piece of text."""
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": sent},
    }
    yield {"type": "message_stop"}


def _sse(event: Json) -> bytes:
    return sse(event, event=event["type"])
