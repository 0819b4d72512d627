"""Imports what LiteLLM imports at its first calls, in a process that makes none."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from contextlib import suppress
from importlib import import_module

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    FakeProvider,
    aclose_litellm_clients,
    litellm_kwargs,
)


def warm() -> None:
    """Import here what the calls of a child have imported there.

    Calls of our own would leave threads and loops behind, which a fork does not copy.
    """
    reading, writing = os.pipe()
    known = set(sys.modules)
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        with suppress(Exception):  # what was imported until then is worth the same
            asyncio.run(_calls())
        with os.fdopen(writing, "w") as out:
            json.dump([name for name in sys.modules if name not in known], out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        names: list[str] = json.load(said)
    os.waitpid(pid, 0)
    for name in (*names, *_LAZY):
        with suppress(Exception):  # some are made by others, under a name of their own
            import_module(name)


_LAZY = ("uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "uvicorn.lifespan.on")
"""What uvicorn imports as it starts."""


async def _calls() -> None:
    messages = [{"role": "user", "content": "hello"}]
    litellm.callbacks = [CustomLogger()]
    async with FakeProvider() as provider:
        for name in PROVIDERS:
            kwargs = {**litellm_kwargs(name, provider.base_url), "messages": messages}
            await litellm.acompletion(**kwargs)
            async for _ in await litellm.acompletion(**kwargs, stream=True):
                pass
        params = litellm_kwargs("openai", provider.base_url)
        router = litellm.Router(model_list=[{"model_name": "one", "litellm_params": params}])
        await router.acompletion(model="one", messages=messages)
        await aclose_litellm_clients()


def freeze() -> None:
    """Take what is here out of every later collection."""
    gc.collect()
    gc.freeze()
