"""What LiteLLM knows of a call: its provider, model and id, read when the call ends."""

import re
from functools import lru_cache
from typing import Any, Final

import litellm

from .._calls.upstream import Upstream
from .._contract.plain import plain
from .._contract.records import CallFacts, Subject
from .operations import Operation
from .prices import output_price

UNKNOWN = "unknown"


class FromLiteLLM:
    """The description of a call, by what LiteLLM was asked and has found out by now."""

    __slots__ = (
        *("answer", "logging", "memory", "model", "operation", "provider", "stream"),
        "trusts_model",
    )

    def __init__(
        self,
        operation: str,
        model: object,
        provider: object,
        *,
        stream: bool,
        trusts_model: bool = True,
    ) -> None:
        self.operation = operation
        self.model = model
        self.provider = provider
        self.stream = stream
        self.trusts_model = trusts_model
        """LiteLLM's own word of the model counts: it takes the first argument for it, whatever."""
        self.logging: Any = None
        """LiteLLM's logging object of the call, where the provider's name ends up."""
        self.answer: object = None
        """What the call returned, where that was no stream; gone with the call's end."""
        self.memory: list[Any] | None = None
        """The chunks that LiteLLM's stream has handed out: its own list, which outlives it."""

    def logged_by(self, logging: object) -> None:
        """Take LiteLLM's logging object of the call; the first counts."""
        if self.logging is None:
            self.logging = logging

    def answered(self, answer: object) -> None:
        """Take the call's answer, where that is no stream."""
        self.answer = answer

    def remembers(self, stream: object) -> bool:
        """Take LiteLLM's stream; return whether it keeps the chunks that it has handed out."""
        memory = getattr(stream, "chunks", None)
        if isinstance(memory, list):
            self.memory = memory
        return self.memory is not None

    def facts(self, upstream: Upstream | None) -> CallFacts:
        """Return the facts known by now."""
        model, provider = self._asked(self._details())
        memory = self.memory
        said = memory[-1] if memory else self.answer
        return CallFacts(
            operation=self.operation,
            provider=provider,
            model=model or UNKNOWN,
            stream=self.stream,
            call_id=_text(getattr(self.logging, "litellm_call_id", None)),
            response_model=None if said is None else _text(getattr(said, "model", None)),
            server_address=None if upstream is None else upstream.host,
            server_port=None if upstream is None else upstream.port,
            output_tokens=None if said is None else _tokens_so_far(said),
            whole=_is_whole(memory or []),
        )

    def subject(self) -> Subject:
        """Return what the call is counted under."""
        model, provider = self._asked(self._details())
        return Subject(self.operation, plain(provider), plain(model or UNKNOWN))

    def output_price(self) -> float | None:
        """Return the USD that one output token costs; None where LiteLLM does not know."""
        details = self._details()
        return output_price(*self._asked(details), details)

    def _asked(self, details: dict[str, Any]) -> tuple[str | None, str]:
        """Return model and provider, as LiteLLM has found them out by now."""
        provider = _text(details.get("custom_llm_provider")) or _text(self.provider)
        if not self.trusts_model:
            model, found = _resolve(_text(self.model))
            return model, provider or found
        model = _text(details.get("model")) or _text(self.model)
        return _resolve(model) if provider is None else (model, provider)

    def _details(self) -> dict[str, Any]:
        return getattr(self.logging, "model_call_details", None) or {}


def describe(operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FromLiteLLM:
    """Return the description of a call from its arguments; no content is looked at."""
    model = kwargs.get("model")
    provider = kwargs.get("custom_llm_provider") or kwargs.get("search_provider")
    if args:
        model = model or _argument(args, operation.model_at)
        provider = provider or _argument(args, operation.provider_at)
    return FromLiteLLM(
        operation.name,
        model,
        provider or operation.provider,
        stream=kwargs.get("stream") is True,
        trusts_model=not args or operation.model_at == 0,
    )


def _argument(args: tuple[Any, ...], at: int | None) -> object:
    return None if at is None or at >= len(args) else args[at]


def logged_usage(logged: Any) -> tuple[str, int] | None:
    """Return a call's id and its output tokens from what LiteLLM hands to a success callback."""
    try:
        call_id = _text(logged.get("litellm_call_id"))
        tokens = (logged.get("standard_logging_object") or {}).get("completion_tokens")
    except AttributeError:  # not what LiteLLM documents: then it is not known
        return None
    tokens = _known(tokens)
    return None if call_id is None or tokens is None else (call_id, tokens)


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


def _tokens_so_far(said: object) -> int | None:
    """Return the tokens that an answer, or the last chunk of one, says that it has."""
    usage = _held(said, "usage")
    tokens = getattr(usage, "completion_tokens", None)
    return _known(getattr(usage, "output_tokens", None) if tokens is None else tokens)


def _held(said: object, name: str) -> object:
    """Return a member of an answer's; pydantic takes 2 µs to say that there is none."""
    extra = getattr(said, "__pydantic_extra__", None)
    if extra is None:
        return getattr(said, name, None)
    return vars(said).get(name, extra.get(name))


def _known(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and tokens > 0 else None  # 0 stands for: not known


_LAST: Final = 16
"""Chunks at the end that are looked at for the finish_reason; usage comes behind it."""


def _is_whole(chunks: list[Any]) -> bool:
    """Return whether every choice that the last chunks are about has its finish_reason."""
    seen: set[object] = set()
    finished: set[object] = set()
    for chunk in chunks[-_LAST:]:
        for choice in getattr(chunk, "choices", None) or ():
            index = _held(choice, "index") or 0
            seen.add(index)
            if _held(choice, "finish_reason"):
                finished.add(index)
    return bool(finished) and seen == finished


_LAST_EVENTS: Final = frozenset({"response.completed", "response.incomplete", "message_stop"})
_LAST_LINE: Final = re.compile(
    rb"^(?:event: ?(?:message_stop|response\.completed|response\.incomplete)|data: ?\[DONE\])",
    re.MULTILINE,
)


def is_last(chunk: object) -> bool:
    """Return whether a chunk of a stream that keeps none says that the answer is whole."""
    if isinstance(chunk, bytes | str):
        data = chunk if isinstance(chunk, bytes) else chunk.encode(errors="replace")
        return _LAST_LINE.search(data) is not None
    if isinstance(chunk, dict):
        kind, choices = chunk.get("type"), chunk.get("choices")
    else:
        kind, choices = getattr(chunk, "type", None), getattr(chunk, "choices", None)
    if isinstance(kind, str) and kind in _LAST_EVENTS:
        return True
    candidates = choices or getattr(chunk, "candidates", None)
    if not isinstance(candidates, list | tuple):
        return False
    return any(getattr(one, "finish_reason", None) for one in candidates)


def is_unguarded(kwargs: dict[str, Any]) -> bool:
    """Return whether a call's metadata says that the guard is to leave it alone."""
    for name in ("metadata", "litellm_metadata"):
        metadata = kwargs.get(name)
        if isinstance(metadata, dict) and metadata.get("litellm_cancel_guard") is False:
            return True
    return False


def is_retried(kwargs: dict[str, Any]) -> bool:
    """Return whether LiteLLM may make another attempt, by the arguments of a call's first one.

    The retries of a provider's SDK (``max_retries``) are inside one attempt.
    """
    retries = kwargs.get("num_retries")
    if retries is None:
        retries = getattr(litellm, "num_retries", None)
    return (isinstance(retries, int) and retries > 0) or kwargs.get("retry_policy") is not None
