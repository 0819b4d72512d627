"""The records and helpers that every wire format shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Wire: TypeAlias = Literal["azure", "openai", "anthropic", "bedrock", "gemini", "cohere", "ollama"]
Json: TypeAlias = dict[str, Any]

CREATED = 1_700_000_000
"""The creation time in every answer, in seconds since 1970: answers depend on the call alone."""

PROMPT_TOKENS = 7

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood: which wire format and operation, for which model, streamed or not.

    ``operation`` is the path without its prefix: ``chat/completions``, ``messages``, ``converse``.
    """

    wire: Wire
    operation: str
    model: str
    stream: bool
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """An answer in one piece."""

    content: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in events: ``chunk(i)`` for i from 0, ``closing(n)`` after n chunks."""

    opening: bytes
    chunk: Callable[[int], bytes]
    closing: Callable[[int], bytes]
    rubbish: bytes
    content_type: str = SSE_TYPE
    headers: tuple[tuple[str, str], ...] = ()


Answer: TypeAlias = Body | Stream


def piece(index: int) -> str:
    """The text of one chunk, counted from 0."""
    return f" word{index}" if index else "word0"


def text_of(pieces: int) -> str:
    """The text of that many chunks together."""
    return "".join(piece(index) for index in range(pieces))


def json_bytes(value: Json) -> bytes:
    """The value as compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def json_body(value: Json) -> Body:
    """An answer whose body is the value as JSON."""
    return Body(json_bytes(value))


def sse(data: Json, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + json_bytes(data) + b"\n\n"


SSE_RUBBISH = b"data: {rubbish\xff\n\n"
