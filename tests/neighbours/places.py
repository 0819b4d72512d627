"""The places that a patch may change, and which of them are not as they were."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from types import CodeType, FunctionType
from typing import Any

import litellm

TRAMPOLINE = "<litellm-cancel-otel>"
"""The file that the code of this package's trampolines says it is from."""

_FUNCTIONS = (
    *("acompletion", "atext_completion", "aembedding", "aresponses", "anthropic_messages"),
    *("aimage_generation", "atranscription", "aspeech", "amoderation", "arerank"),
)
_METHODS = (
    ("litellm.router", "Router", "async_function_with_retries"),
    ("litellm.llms.azure.azure", "AzureChatCompletion", "acompletion"),
    ("openai.resources.chat.completions", "AsyncCompletions", "create"),
    ("httpx", "AsyncClient", "send"),
    ("httpx", "AsyncHTTPTransport", "handle_async_request"),
    ("httpx2", "AsyncClient", "send"),
    ("anyio._backends._asyncio", "CancelScope", "_timeout"),
    ("asyncio", "Timeout", "_on_timeout"),
)


def places() -> dict[str, tuple[Any, ...]]:
    """Return what stands at each place: the object, and its code down to what it wraps."""
    found = {f"litellm.{name}": getattr(litellm, name) for name in _FUNCTIONS}
    for module, owner, name in _METHODS:
        if importlib.util.find_spec(module.partition(".")[0]):
            place = getattr(importlib.import_module(module), owner)
            found[f"{owner}.{name}"] = vars(place).get(name)
    found["_cancel_and_wait"] = getattr(asyncio.tasks, "_cancel_and_wait", None)
    return {name: tuple(_inside(one)) for name, one in found.items()}


def _inside(one: Any) -> list[Any]:
    inside = []
    while one is not None:
        inside.append(one)
        if type(one) is FunctionType:
            cells = [cell.cell_contents for cell in one.__closure__ or ()]
            inside += [one.__code__, one.__kwdefaults__, *cells]
        one = getattr(one, "__wrapped__", None)
    return inside


def changed(before: dict[str, tuple[Any, ...]], after: dict[str, tuple[Any, ...]]) -> list[str]:
    """Return the places that are not as they were."""
    return [name for name in before if before[name] != after[name]]


def ours() -> list[str]:
    """Return the places behind which something of this package's stands."""
    return [name for name, inside in places().items() if any(map(_is_ours, inside))]


def _is_ours(one: Any) -> bool:
    code = one if isinstance(one, CodeType) else getattr(one, "__code__", None)
    where = getattr(code, "co_filename", "")
    return where == TRAMPOLINE or "/litellm_cancel_otel/_" in where
