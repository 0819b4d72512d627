"""What LiteLLM knows of a call: its provider, model and id, read when the call ends."""

from functools import lru_cache
from typing import Any

import litellm

from .._call import Call
from .._records import CallFacts

UNKNOWN = "unknown"


class Description:
    """Tells what a call is; filled in as LiteLLM finds out."""

    __slots__ = ("logging", "model", "operation", "provider", "response_model", "stream")

    def __init__(self, operation: str, model: object, provider: object, *, stream: bool) -> None:
        self.operation = operation
        self.model = model
        self.provider = provider
        self.stream = stream
        self.logging: Any = None
        """LiteLLM's logging object of the call, where the provider's name ends up."""
        self.response_model: str | None = None

    def __call__(self, call: Call) -> CallFacts:
        """Return the facts known by now."""
        details = getattr(self.logging, "model_call_details", None) or {}
        model = _text(details.get("model")) or _text(self.model)
        provider = _text(details.get("custom_llm_provider")) or _text(self.provider)
        if provider is None:
            model, provider = _resolve(model)
        upstream = call.upstream
        return CallFacts(
            operation=self.operation,
            provider=provider,
            model=model or UNKNOWN,
            stream=self.stream,
            call_id=_text(getattr(self.logging, "litellm_call_id", None)),
            response_model=self.response_model or _model_of_chunks(call),
            server_address=None if upstream is None else upstream.host,
            server_port=None if upstream is None else upstream.port,
        )


def describe(operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Description:
    """Return the description of a call from its arguments; no content is looked at."""
    model = kwargs.get("model")
    if model is None and args:
        model = args[0]
    provider = kwargs.get("custom_llm_provider")
    return Description(operation, model, provider, stream=kwargs.get("stream") is True)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


@lru_cache(maxsize=256)
def _resolve(model: str | None) -> tuple[str | None, str]:
    """Return model and provider by LiteLLM's own rules, for a call that ended before it asked."""
    if model is None:
        return None, UNKNOWN
    try:
        resolved, provider, *_ = litellm.get_llm_provider(model=model)
    except Exception:  # noqa: BLE001 - LiteLLM raises its own errors for a model it does not know
        return model, UNKNOWN
    return resolved, provider


def _model_of_chunks(call: Call) -> str | None:
    stream = None if call.stream is None else call.stream()
    chunks = getattr(stream, "chunks", None)
    return _text(getattr(chunks[-1], "model", None)) if chunks else None
