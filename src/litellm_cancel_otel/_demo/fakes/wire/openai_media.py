"""Operations that answer in one body: OpenAI's embeddings, images, audio, moderations, and OCR."""

from __future__ import annotations

from litellm_cancel_otel._demo.fakes.wire.base import (
    CREATED,
    PROMPT_TOKENS,
    Body,
    Call,
    json_body,
    text_of,
)

VECTOR = (0.1, 0.2, 0.3)
"""The embedding of every input."""

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""The image of every prompt: one pixel, PNG in base64."""

SPEECH = b"\xff\xfb\x90\x00" + bytes(1020)
"""The sound of every text: one MP3 frame header and silence."""

_MODERATION_CATEGORIES = ("harassment", "hate", "self-harm", "sexual", "violence")


def answer(call: Call, pieces: int) -> Body | None:
    """The answer to a call; None for an operation not spoken here."""
    match call.operation:
        case "embeddings":
            return _embeddings(call)
        case "images/generations" | "images/edits":
            return json_body({"created": CREATED, "data": [{"b64_json": PIXEL}]})
        case "audio/transcriptions":
            return _transcription(call, text_of(pieces))
        case "audio/speech":
            return Body(SPEECH, content_type="audio/mpeg")
        case "moderations":
            return _moderation(call)
        case "ocr":  # Mistral's
            return _ocr(call, text_of(pieces))
        case _:
            return None


def _embeddings(call: Call) -> Body:
    asked = call.payload.get("input")
    # A list of numbers is one input in tokens; a list of anything else is that many inputs.
    many = isinstance(asked, list) and not all(isinstance(part, int) for part in asked)
    count = len(asked) if many and isinstance(asked, list) else 1
    return json_body(
        {
            "object": "list",
            "model": call.model,
            "data": [
                {"object": "embedding", "index": index, "embedding": list(VECTOR)}
                for index in range(count)
            ],
            "usage": {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS},
        }
    )


def _transcription(call: Call, text: str) -> Body:
    if call.payload.get("response_format") == "text":
        return Body(text.encode(), content_type="text/plain; charset=utf-8")
    if call.payload.get("response_format") == "verbose_json":
        return json_body(
            {
                "task": "transcribe",
                "language": "english",
                "duration": 1.0,
                "text": text,
                "segments": [],
            }
        )
    return json_body({"text": text})


def _moderation(call: Call) -> Body:
    return json_body(
        {
            "id": "modr-fake",
            "model": call.model,
            "results": [
                {
                    "flagged": False,
                    "categories": dict.fromkeys(_MODERATION_CATEGORIES, False),
                    "category_scores": dict.fromkeys(_MODERATION_CATEGORIES, 0.0),
                }
            ],
        }
    )


def _ocr(call: Call, text: str) -> Body:
    page = {"index": 0, "markdown": text, "images": [], "dimensions": None}
    return json_body(
        {
            "model": call.model,
            "pages": [page],
            "usage_info": {"pages_processed": 1, "doc_size_bytes": None},
        }
    )
