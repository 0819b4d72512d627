"""OpenAI's and Azure's Responses API."""

from __future__ import annotations

from itertools import count
from typing import Any

from litellm_cancel_otel._demo.fakes.wire.base import (
    CREATED,
    PROMPT_TOKENS,
    SSE_RUBBISH,
    Answer,
    Call,
    Json,
    Stream,
    json_body,
    piece,
    sse,
    text_of,
)

_ITEM_ID = "msg_fake"
_OPENING_EVENTS = 4


def answer(call: Call, pieces: int) -> Answer:
    """The answer to a call, of that many pieces of text."""
    if not call.stream:
        return json_body(_response(call, pieces))
    return Stream(
        opening=_opening(call),
        chunk=_delta,
        closing=lambda sent: _closing(call, sent),
        rubbish=SSE_RUBBISH,
    )


def _event(number: int, kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, "sequence_number": number, **fields}, event=kind)


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(parts: list[Json], status: str) -> Json:
    return {
        "id": _ITEM_ID,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def _response(call: Call, pieces: int | None) -> Json:
    """The response object; None pieces while it is in progress."""
    done = pieces is not None
    usage = {
        "input_tokens": PROMPT_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": pieces or 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": PROMPT_TOKENS + (pieces or 0),
    }
    return {
        "id": "resp_fake",
        "object": "response",
        "created_at": CREATED,
        "status": "completed" if done else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": call.model,
        "output": [] if pieces is None else [_item([_part(text_of(pieces))], "completed")],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage if done else None,
        "user": None,
    }


def _opening(call: Call) -> bytes:
    place: Json = {"item_id": _ITEM_ID, "output_index": 0, "content_index": 0}
    return b"".join(
        (
            _event(0, "response.created", response=_response(call, None)),
            _event(1, "response.in_progress", response=_response(call, None)),
            _event(2, "response.output_item.added", output_index=0, item=_item([], "in_progress")),
            _event(3, "response.content_part.added", part=_part(""), **place),
        )
    )


def _delta(index: int) -> bytes:
    return _event(
        _OPENING_EVENTS + index,
        "response.output_text.delta",
        item_id=_ITEM_ID,
        output_index=0,
        content_index=0,
        delta=piece(index),
        logprobs=[],
    )


def _closing(call: Call, sent: int) -> bytes:
    place: Json = {"item_id": _ITEM_ID, "output_index": 0, "content_index": 0}
    text = text_of(sent)
    number = count(_OPENING_EVENTS + sent)
    return b"".join(
        (
            _event(next(number), "response.output_text.done", text=text, logprobs=[], **place),
            _event(next(number), "response.content_part.done", part=_part(text), **place),
            _event(
                next(number),
                "response.output_item.done",
                output_index=0,
                item=_item([_part(text)], "completed"),
            ),
            _event(next(number), "response.completed", response=_response(call, sent)),
        )
    )
