"""Which wire format, operation and model a request means, and which module answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import unquote, urlsplit

from litellm_cancel_otel._demo.fakes.wire import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    ollama,
    openai,
)
from litellm_cancel_otel._demo.fakes.wire.base import Answer, Body, Call, Wire

_AZURE_DEPLOYMENT = re.compile(r"/openai/deployments/(?P<model>[^/]+)/(?P<operation>.+)")
_AZURE = re.compile(r"/openai/(?:v1/)?(?P<operation>.+)")
_ANTHROPIC = re.compile(r"/v1/(?P<operation>messages)")
_BEDROCK = re.compile(r"/model/(?P<model>[^/]+)/(?P<operation>[^/]+)")
_GEMINI = re.compile(r"/.*models/(?P<model>[^/:]+):(?P<operation>\w+)")
_COHERE = re.compile(r"/(?P<operation>v[12]/chat)")
_OLLAMA = re.compile(r"/api/(?P<operation>\w+)")
_OPENAI = re.compile(r"/(?:v1/)?(?P<operation>.+)")

# The first that matches wins: OpenAI's takes what is left.
_ROUTES: tuple[tuple[re.Pattern[str], Wire], ...] = (
    (_AZURE_DEPLOYMENT, "azure"),
    (_AZURE, "azure"),
    (_ANTHROPIC, "anthropic"),
    (_BEDROCK, "bedrock"),
    (_GEMINI, "gemini"),
    (_COHERE, "cohere"),
    (_OLLAMA, "ollama"),
    (_OPENAI, "openai"),
)
_STREAMS = ("converse-stream", "invoke-with-response-stream", "streamGenerateContent")


def understand(target: str, content_type: str, body: bytes) -> Call | None:
    """What the request asks for; None for a path that no provider has."""
    path = urlsplit(target).path
    found = next(
        ((wire, match) for pattern, wire in _ROUTES if (match := pattern.fullmatch(path))), None
    )
    if found is None:
        return None
    wire, match = found
    groups = match.groupdict()
    payload = _payload(content_type, body)
    model = unquote(groups.get("model") or str(payload.get("model", "")))
    operation = groups["operation"]
    stream = payload.get("stream") in (True, "true") or operation in _STREAMS
    call = Call(wire, operation, model, stream, payload)
    return call if answer(call, 0) is not None else None


def answer(call: Call, pieces: int) -> Answer | None:
    """The answer to a call of that many pieces of text; None for an operation nobody speaks."""
    match call.wire:
        case "azure" | "openai":
            return openai.answer(call, pieces)
        case "anthropic":
            return anthropic.answer(call, pieces)
        case "bedrock":
            return bedrock.answer(call, pieces)
        case "gemini":
            return gemini.answer(call, pieces)
        case "cohere":
            return cohere.answer(call, pieces)
        case "ollama":
            return ollama.answer(call, pieces)


def error(call: Call, status: int) -> Body:
    """The error body of the call's provider for an HTTP status."""
    match call.wire:
        case "azure" | "openai":
            return openai.error(call, status)
        case "anthropic":
            return anthropic.error(call, status)
        case "bedrock":
            return bedrock.error(call, status)
        case "gemini":
            return gemini.error(call, status)
        case "cohere":
            return cohere.error(call, status)
        case "ollama":
            return ollama.error(call, status)


def _payload(content_type: str, body: bytes) -> Mapping[str, Any]:
    """The request's fields, from JSON or a form; empty if it has none that can be read."""
    if content_type.startswith("multipart/form-data"):
        return _form(content_type, body)
    try:
        payload = json.loads(body)
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _form(content_type: str, body: bytes) -> Mapping[str, Any]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields: dict[str, Any] = {}
    parts = BytesParser().parsebytes(head + body).get_payload()
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, Message):
            continue
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(value, bytes):
            is_file = part.get_filename() is not None
            fields[name] = value if is_file else value.decode().strip()
    return fields
