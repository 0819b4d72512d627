"""LiteLLM's own HTTP clients, which it keeps and leaves open."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Container
from typing import Any

import litellm


def cached_litellm_clients() -> set[str]:
    """Return LiteLLM's names of the HTTP clients that it keeps now."""
    cache: Any = litellm.in_memory_llm_clients_cache
    return set(cache.cache_dict)


async def aclose_litellm_clients(but: Container[str] = ()) -> None:
    """Close the connections of every HTTP client that LiteLLM keeps; it makes new ones as needed.

    Call this before a loop ends, from that loop: LiteLLM finds a client by the loop's ``id()``,
    which a later loop can have again. Those that ``but`` names stay.
    """
    cache: Any = litellm.in_memory_llm_clients_cache
    shared = vars(litellm).get("module_level_aclient")
    kept = {name: client for name, client in cache.cache_dict.items() if name in but}
    clients = [client for name, client in cache.cache_dict.items() if name not in kept]
    cache.flush_cache()
    for name, client in kept.items():
        cache.cache_dict[name] = client
    for client in clients:
        if client is shared:  # 1.83 has it in the cache too, and asks by it for good
            continue
        closing = client.close()
        if inspect.isawaitable(closing):
            await closing
    if shared is not None and not _is_anothers(shared.client._transport):
        await _close_connections(shared.client._transport)


def _is_anothers(transport: Any) -> bool:
    """Return whether a transport has its connections in another loop, which goes on."""
    loop: Any = getattr(getattr(transport, "client", None), "_loop", None)
    another = loop is not None and loop is not asyncio.get_running_loop()
    return another and bool(loop.is_running())


async def _close_connections(transport: Any) -> None:
    # Not through the client's own close(): that is for good, and some calls always use this one.
    await transport.aclose()
    # 1.72.2 would go on with the closed session in the same loop.
    if (factory := getattr(transport, "_client_factory", None)) is not None:
        transport.client = factory
