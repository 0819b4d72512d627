"""LiteLLM's own HTTP clients, which it keeps and leaves open."""

from __future__ import annotations

import inspect


async def aclose_litellm_clients() -> None:
    """Close and forget every HTTP client that LiteLLM has cached.

    LiteLLM finds a client by the ``id()`` of the event loop, which a later loop can have again: call
    this before a loop ends, from that loop.
    """
    import litellm

    cache = litellm.in_memory_llm_clients_cache
    clients = list(cache.cache_dict.values())
    cache.flush_cache()
    for client in clients:
        closing = client.close()
        if inspect.isawaitable(closing):
            await closing
