"""OpenAI's and Azure OpenAI's wire format: chat and text completions, and the error body.

The two differ in what Azure adds: an opening event about the prompt's content filter, and the
filter's result beside each choice.
"""

from __future__ import annotations

from typing import Any

from litellm_cancel_otel._demo.fakes.wire import openai_media, openai_responses
from litellm_cancel_otel._demo.fakes.wire.base import (
    CREATED,
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

_DONE = b"data: [DONE]\n\n"
_SAFE: Json = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
_ERROR_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation not spoken here."""
    match call.operation:
        case "chat/completions":
            return _chat_stream(call) if call.stream else _chat(call, pieces)
        case "completions":
            return _text_stream(call) if call.stream else _text(call, pieces)
        case "responses":
            return openai_responses.answer(call, pieces)
        case _:
            return openai_media.answer(call, pieces)


def error(call: Call, status: int) -> Body:
    """The provider's error body for an HTTP status."""
    kind, code = _ERROR_TYPES.get(status, ("server_error", None))
    message = f"fake {call.wire} error {status}"
    if call.wire == "azure":
        return json_body({"error": {"code": code or str(status), "message": message}})
    return json_body({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _usage(pieces: int) -> Json:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": pieces,
        "total_tokens": PROMPT_TOKENS + pieces,
    }


def _choice(call: Call, **fields: Any) -> Json:
    choice: Json = {"index": 0, "logprobs": None, **fields}
    if call.wire == "azure":
        choice["content_filter_results"] = _SAFE
    return choice


def _wants_usage(call: Call) -> bool:
    return bool((call.payload.get("stream_options") or {}).get("include_usage"))


def _filter_event(call: Call) -> bytes:
    if call.wire != "azure":
        return b""
    results = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    return sse(
        {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": results,
        }
    )


def _chat(call: Call, pieces: int) -> Body:
    message = {"role": "assistant", "content": text_of(pieces), "refusal": None}
    return json_body(
        {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": CREATED,
            "model": call.model,
            "system_fingerprint": "fp_fake",
            "choices": [_choice(call, message=message, finish_reason="stop")],
            "usage": _usage(pieces),
        }
    )


def _chat_stream(call: Call) -> Stream:
    wants_usage = _wants_usage(call)
    as_it_goes = bool((call.payload.get("stream_options") or {}).get("continuous_usage_stats"))

    def event(choices: list[Json], usage: Json | None = None) -> bytes:
        data: Json = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": call.model,
            "system_fingerprint": "fp_fake",
            "choices": choices,
        }
        if wants_usage:
            data["usage"] = usage
        return sse(data)

    def delta(fields: Json, finish_reason: str | None = None, usage: Json | None = None) -> bytes:
        return event([_choice(call, delta=fields, finish_reason=finish_reason)], usage)

    def chunk(index: int) -> bytes:
        # vLLM's way, and that of others that speak this format.
        return delta({"content": piece(index)}, usage=_usage(index + 1) if as_it_goes else None)

    def closing(sent: int) -> bytes:
        usage = event([], _usage(sent)) if wants_usage else b""
        return delta({}, "stop") + usage + _DONE

    return Stream(
        opening=_filter_event(call) + delta({"role": "assistant", "content": "", "refusal": None}),
        chunk=chunk,
        closing=closing,
        rubbish=SSE_RUBBISH,
    )


def _text(call: Call, pieces: int) -> Body:
    return json_body(
        {
            "id": "cmpl-fake",
            "object": "text_completion",
            "created": CREATED,
            "model": call.model,
            "choices": [_choice(call, text=text_of(pieces), finish_reason="stop")],
            "usage": _usage(pieces),
        }
    )


def _text_stream(call: Call) -> Stream:
    wants_usage = _wants_usage(call)

    def event(choices: list[Json], usage: Json | None = None) -> bytes:
        data: Json = {
            "id": "cmpl-fake",
            "object": "text_completion",
            "created": CREATED,
            "model": call.model,
            "choices": choices,
        }
        if wants_usage:
            data["usage"] = usage
        return sse(data)

    def closing(sent: int) -> bytes:
        usage = event([], _usage(sent)) if wants_usage else b""
        return event([_choice(call, text="", finish_reason="stop")]) + usage + _DONE

    return Stream(
        opening=_filter_event(call),
        chunk=lambda index: event([_choice(call, text=piece(index), finish_reason=None)]),
        closing=closing,
        rubbish=SSE_RUBBISH,
    )
