"""What an entry point of LiteLLM's is called in telemetry, and where its arguments stand."""

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final, NamedTuple

NAMES: Final = {
    "acompletion": "chat",
    "aembedding": "embeddings",
    "anthropic_messages": "messages",
    "allm_passthrough_route": "pass_through",
    "pass_through_request": "pass_through",
    "agenerate_content": "generate_content",
    "agenerate_content_stream": "generate_content",
}
"""The operations that have another name than LiteLLM's function."""

WITHOUT_TWIN: Final = frozenset(
    {
        *("acount_tokens", "aocr", "acode_interpreter_tool", "arun_code"),
        *("acreate_sandbox", "adelete_sandbox", "arealtime_calls"),
        *("acreate_realtime_client_secret", "acreate_realtime_transcription_session"),
    }
)
"""Operations that have no synchronous function beside them, or not in every version."""

PACKAGES: Final = {
    "litellm.vector_store_files": "vector_store_file_{}",
    "litellm.vector_stores": "vector_store_{}",
    "litellm.interactions.agents": "{}_agent",
    "litellm.interactions": "{}_interaction",
}
"""Packages whose functions are called by a verb alone; the Router has these names for them."""

_PROVIDER: Final = ("custom_llm_provider", "search_provider")


class Operation(NamedTuple):
    """What one entry point does, and where among its arguments model and provider are.

    The name comes from LiteLLM's code, never from an argument.
    """

    name: str
    model_at: int | None = None
    """The place of ``model`` among the positional arguments."""
    provider_at: int | None = None
    provider: str | None = None
    """The provider that is asked where no argument says which."""


def twin_of(name: str, namespace: Mapping[str, object]) -> Callable[..., Any] | None:
    """Return the synchronous function that LiteLLM has beside an asynchronous one."""
    found = namespace.get(_without_a(name)) if name.startswith("a") else None
    return found if callable(found) else None


def _without_a(name: str) -> str:
    return name[1:].lstrip("_")


def operation_of(
    module: str, name: str, function: Callable[..., Any], twin: Callable[..., Any] | None
) -> Operation:
    """Return the operation of a function, by its module and its name there."""
    places = _places(function)
    if "model" not in places and twin is not None:
        places = _places(twin)
    names = list(places)
    provider = next((one for one in _PROVIDER if one in places), None)
    default = None if provider is None else places[provider]
    return Operation(
        _named(module, name, has_twin=twin is not None),
        names.index("model") if "model" in names else None,
        None if provider is None else names.index(provider),
        default if isinstance(default, str) else None,
    )


def _named(module: str, name: str, *, has_twin: bool) -> str:
    if name in NAMES:
        return NAMES[name]
    plain = _without_a(name) if has_twin or name in WITHOUT_TWIN else name
    for package, pattern in PACKAGES.items():
        if f"{module}.".startswith(f"{package}."):
            return pattern.format(plain)
    return plain


def _places(function: Callable[..., Any]) -> dict[str, object]:
    """Return the positional parameters of a function, in order, with their defaults."""
    inner = inspect.unwrap(function)
    if not isinstance(inner, FunctionType):
        return {}
    names = inner.__code__.co_varnames[: inner.__code__.co_argcount]
    defaults = inner.__defaults__ or ()
    if len(names) < len(defaults):  # it is watched already: our code names no argument
        return {}
    required = len(names) - len(defaults)
    return dict(zip(names, (*(None,) * required, *defaults), strict=True))
