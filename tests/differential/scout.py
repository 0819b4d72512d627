"""Imports and builds what LiteLLM does at its first calls, in a process that makes none."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

import litellm
from litellm.integrations.custom_logger import CustomLogger
from pydantic import BaseModel

from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    FakeProvider,
    aclose_litellm_clients,
    litellm_kwargs,
)


def warm() -> None:
    """Import here what the calls of a child have imported there, and build its pydantic models.

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
            imported = [name for name in sys.modules if name not in known]
            json.dump([imported, sorted(name for name, model in _models() if _built(model))], out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        names, built = json.load(said)
    os.waitpid(pid, 0)
    for name in (*names, *_LAZY):
        with suppress(Exception):  # some are made by others, under a name of their own
            import_module(name)
    for name, model in _models():
        if name in built and not _built(model):
            with suppress(Exception):  # then it is built by each child that needs it
                model.model_rebuild(_types_namespace=vars(sys.modules[model.__module__]))


def _models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every pydantic model of this process, with its name."""
    todo, seen = [BaseModel], set()
    while todo:
        for model in todo.pop().__subclasses__():
            if model not in seen:
                seen.add(model)
                todo.append(model)
                yield f"{model.__module__}.{model.__qualname__}", model


def _built(model: type[BaseModel]) -> bool:
    return bool(getattr(model, "__pydantic_complete__", False))


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
