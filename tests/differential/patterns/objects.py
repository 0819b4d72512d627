"""Answers and streams as objects: what an application may ask of them is what it was."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import pickle
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import Any

import httpx
import litellm
from litellm import CustomStreamWrapper
from openai import AsyncOpenAI

from ..application import App, chained, take, text_of, whole
from ..pattern import pattern


@pattern()
async def what_a_stream_looks_like(app: App) -> None:
    """Wrappers such as LangChain's, Instructor's and Langfuse's look at a stream's type and
    attributes before they wrap it.

    The names that the package adds to a stream, which begin with its own, are left out.
    """
    stream = await app.stream()
    cls = type(stream)
    app.log(cls.__name__, cls.__module__, cls.__qualname__, isinstance(stream, CustomStreamWrapper))
    app.log(isinstance(stream, AsyncIterator), isinstance(stream, AsyncIterable))
    app.log(inspect.isasyncgen(stream), inspect.isawaitable(stream), callable(stream))
    for name in (*dir(stream), "and in its own dictionary:", *vars(stream)):
        if not name.startswith("litellm_cancel_otel"):
            app.log(name, book="names")
    app.log(stream.__class__.__name__, repr(stream)[:30], aiter(stream) is stream, bool(stream))
    for name in ("aclose", "__anext__", "__aiter__", "__next__", "close", "athrow", "model"):
        app.log(name, hasattr(stream, name))
    waiting = stream.__anext__()
    app.log(isinstance(waiting, Awaitable), asyncio.iscoroutine(waiting))
    app.log(text_of(await waiting))
    app.log(stream.model, stream.custom_llm_provider, stream == stream, hash(stream) == id(stream))
    stream.mine = "an application's own"
    app.log(stream.mine, await whole(stream))


@pattern()
async def a_stream_is_copied(app: App) -> None:
    """Retry and caching layers copy what they are given; a copy reads on where it can."""
    stream = await app.stream()
    app.log(await take(stream, 1))
    twin = copy.copy(stream)
    app.log(type(twin).__name__, twin is stream, isinstance(twin, CustomStreamWrapper))
    app.log(await take(twin, 1), await take(stream, 1))
    app.log(await whole(stream))
    app.log(await anext(twin, "the end"))
    for copied in (copy.deepcopy, pickle.dumps):
        try:
            copied(stream)
            app.log("copied")
        except BaseException as exc:
            app.log(type(exc).__name__)


@pattern()
async def answers_are_pickled_and_dumped(app: App) -> None:
    """Caches pickle answers, and logs dump them as JSON."""
    answer = await app.chat()
    twin = pickle.loads(pickle.dumps(answer))
    app.log(type(twin).__qualname__, twin.choices[0].message.content, twin == answer)
    dumped = answer.model_dump(exclude={"id", "created"})
    app.log(json.dumps(dumped, sort_keys=True, default=str))
    app.log(sorted(answer._hidden_params), copy.deepcopy(answer) == answer)
    chunks = [chunk async for chunk in await app.stream()]
    app.log([type(chunk).__name__ for chunk in chunks])
    built: Any = litellm.stream_chunk_builder(chunks)
    app.log(built.choices[0].message.content, built.usage.completion_tokens)
    app.log(pickle.loads(pickle.dumps(chunks[1])) == chunks[1])


@pattern()
async def a_client_of_the_applications_own(app: App) -> None:
    """Applications pass an AsyncOpenAI of their own, with a transport, hooks and limits of their
    own."""
    seen: list[str] = []

    async def request_hook(request: httpx.Request) -> None:
        seen.append(f"{request.method} {request.url.path}")

    async def response_hook(response: httpx.Response) -> None:
        seen.append(f"{response.status_code} {response.is_closed}")

    hooks: Any = {"request": [request_hook], "response": [response_hook]}
    async with httpx.AsyncClient(event_hooks=hooks) as http:
        client = AsyncOpenAI(
            api_key="fake", base_url=f"{app.provider.base_url}/v1", http_client=http, max_retries=0
        )
        app.log((await app.chat(client=client)).choices[0].message.content)
        app.log(await whole(await app.stream(client=client)))
        app.script(hang_at=1)
        stream = await app.stream(client=client)
        app.log(await take(stream, 1))
        await stream.aclose()
    for line in seen:
        app.log(line)


@pattern()
async def httpx_beside_litellm(app: App) -> None:
    """The application's own httpx clients serve its other calls: streamed, cancelled, in error."""
    url = f"{app.provider.base_url}/v1/chat/completions"
    asked = {"model": "mine", "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient() as http:
        stream = await app.stream()
        app.log(await take(stream, 1))
        app.log((await http.post(url, json=asked)).status_code, (await http.get(url)).status_code)
        async with http.stream("POST", url, json={**asked, "stream": True}) as response:
            lines = [line async for line in response.aiter_lines() if line]
            app.log(len(lines), response.is_closed, type(response).__name__)
        app.log(response.is_closed)
        app.script("mine", hang_at="before_headers")
        try:
            await asyncio.wait_for(http.post(url, json=asked), 0.05)
        except TimeoutError as exc:
            app.log(chained(exc))
        app.log(await whole(stream))


@pattern()
async def every_operation(app: App) -> None:
    """One application uses text completions, embeddings, images, audio, responses and messages."""
    sdk: Any = litellm
    openai = {key: value for key, value in app.kwargs().items() if key != "messages"}
    app.log((await sdk.atext_completion(prompt="hello", **openai)).choices[0].text)
    said = await sdk.atext_completion(prompt="hello", stream=True, **openai)
    app.log("".join([chunk.choices[0].text or "" async for chunk in said]))
    app.log(len((await sdk.aembedding(input=["hello"], **openai)).data))
    app.log(len((await sdk.aimage_generation(prompt="hello", **openai)).data))
    app.log(type(await sdk.aresponses(input="hello", **openai)).__name__)
    events = await sdk.aresponses(input="hello", stream=True, **openai)
    app.log(type(events).__name__, [str(event.type) async for event in events])


@pattern()
async def every_provider(app: App) -> None:
    """A router's catalogue: the same question to Azure, OpenAI, Anthropic and Bedrock, whole,
    streamed, cut off and in error."""
    wires: tuple[Any, ...] = ("azure", "openai", "anthropic", "bedrock")
    for wire in wires:
        app.script()
        app.log(wire, (await app.chat(wire)).choices[0].message.content)
        app.log([text_of(chunk) async for chunk in await app.stream(wire)])
        app.script(ending="rst")
        try:
            app.log(await whole(await app.stream(wire)))
        except BaseException as exc:
            app.log(type(exc).__name__, chained(exc))
        app.script(status=429)
        try:
            await app.chat(wire)
        except BaseException as exc:
            app.caught(exc)
        app.script(hang_at=1)
        task = asyncio.create_task(_reads(app, wire))
        exchange = await app.hanging()
        while exchange.stream is False:  # those that were answered before
            exchange = await app.hanging()
        await app.turns(20)
        task.cancel("enough")
        await app.ended(task)
        await app.idle()


async def _reads(app: App, wire: Any) -> None:
    try:
        await whole(await app.stream(wire))
    except BaseException as exc:
        app.log(type(exc).__name__, exc.args)
        raise
