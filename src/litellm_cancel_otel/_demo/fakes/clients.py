"""LiteLLM's own HTTP clients, which it keeps and leaves open."""

from __future__ import annotations

import inspect
from typing import Any

import litellm


async def aclose_litellm_clients() -> None:
    """Close the connections of every HTTP client that LiteLLM keeps; it makes new ones as needed.

    Call this before a loop ends, from that loop: LiteLLM finds a client by the loop's ``id()``,
    which a later loop can have again.
    """
    cache: Any = litellm.in_memory_llm_clients_cache
    clients = list(cache.cache_dict.values())
    cache.flush_cache()
    for client in clients:
        closing = client.close()
        if inspect.isawaitable(closing):
            await closing
    shared = vars(litellm).get("module_level_aclient")
    if shared is not None:
        await _close_connections(shared.client._transport)


async def _close_connections(transport: Any) -> None:
    # Not through the client's own close(): that is for good, and some calls always use this one.
    await transport.aclose()
    # 1.72.2 would go on with the closed session in the same loop.
    if (factory := getattr(transport, "_client_factory", None)) is not None:
        transport.client = factory
