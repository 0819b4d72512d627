"""Web applications that go on after the client has left: what they save must be saved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..application import App, text_of
from ..pattern import pattern
from ..web import Site, guarded, of_spec_2_4, serving, wrapped

UNGUARDED = {"litellm_cancel_guard": False}


class Requests:
    """Stands between the server and an application, and sees how each request ends."""

    def __init__(self, app: App, asgi: Any) -> None:
        self._app = app
        self._asgi = asgi
        self.over = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._asgi(scope, receive, send)
        except BaseException as exc:
            self._app.caught(exc, "the request raised", book=scope["path"])
            raise
        else:
            self._app.log("the request returned", book=scope["path"])
        finally:
            self.over.set()


async def words_a_minute(piece: str) -> None:
    """Hold the body back once its first word is out: a cancel comes here, the stream is open."""
    if piece:
        await asyncio.Event().wait()


def saving(app: App, *, paced: bool = True) -> AsyncIterator[str]:
    """Return a body whose finally saves under a shield for a while.

    Where it is ``paced`` it is stopped between two chunks, else while it waits for one.
    """

    async def body() -> AsyncIterator[str]:
        pieces: list[str] = []
        stream = await app.stream()
        try:
            async for chunk in stream:
                pieces.append(text_of(chunk))
                yield pieces[-1]
                if paced:
                    await words_a_minute(pieces[-1])
        except BaseException as exc:
            app.log("the body:", type(exc).__name__)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                (app.folder / "answer").write_text("".join(pieces))
            app.log("saved")

    return body()


async def a_client_leaves(app: App, asgi: Any, path: str = "/answer") -> None:
    """Let a client read the first piece and leave; wait until the request is over."""
    requests = Requests(app, asgi)
    async with serving(requests) as site:
        await leaves_after_a_piece(site, path)
        await app.until(requests.over, "the request's end")


async def leaves_after_a_piece(site: Site, path: str) -> None:
    """Be a client that reads a piece and leaves."""
    client = await site.client()
    client.ask(path)
    await client.sees(b"word0")
    client.leave()


def _after(app: App) -> BackgroundTask:
    return BackgroundTask(lambda: app.log("the background task ran"))


def _site(app: App, *, wrap: bool, paced: bool = True) -> Any:
    async def answer(request: Request) -> Response:
        return StreamingResponse(saving(app, paced=paced), background=_after(app))

    site = guarded(app, Starlette(routes=[Route("/answer", answer)]))
    if wrap:
        _dispatched(app, site)
    return site


def _dispatched(app: App, site: Any) -> None:
    from starlette.middleware.base import BaseHTTPMiddleware

    async def dispatch(request: Request, call_next: Callable[..., Any]) -> Any:
        response = await call_next(request)
        app.log("dispatched", response.status_code)
        return response

    site.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)


@pattern()
async def a_save_under_a_shield(app: App) -> None:
    """Starlette streams a body whose finally stores the partial answer under a shield; a
    background task comes after it."""
    app.script(hang_at=1)
    await a_client_leaves(app, _site(app, wrap=False))


@pattern()
async def a_save_while_the_model_thinks(app: App) -> None:
    """The same where the client leaves while the body waits for the model's next word."""
    app.script(hang_at=1)
    await a_client_leaves(app, _site(app, wrap=False, paced=False))


@pattern()
async def a_save_under_a_shield_behind_a_middleware(app: App) -> None:
    """The same behind one @app.middleware("http"), as most FastAPI applications have it."""
    app.script(hang_at=1)
    await a_client_leaves(app, _site(app, wrap=True))


@pattern()
async def a_save_under_a_shield_inside_a_middleware(app: App) -> None:
    """The same where this package's middleware is added last, and so is the outermost."""
    app.script(hang_at=1)
    site = Starlette(routes=_site(app, wrap=False).routes)
    _dispatched(app, site)
    await a_client_leaves(app, guarded(app, site))


@pattern()
async def a_save_where_send_raises(app: App) -> None:
    """On a server of ASGI spec 2.4 the framework learns by OSError from send that the client has
    gone: what the body has begun to save is saved, and the handler of the error is called.

    Without the package the body's finally waits for the collector: only what it saved, and what
    the server was told, is compared.
    """

    async def body() -> AsyncIterator[str]:
        pieces: list[str] = []
        try:
            async for chunk in await app.stream():
                pieces.append(text_of(chunk))
                (app.folder / "begun").write_text("yes")
                yield pieces[-1]
        finally:
            (app.folder / "saved").write_text("yes")

    async def answer(request: Request) -> Response:
        return StreamingResponse(body(), background=_after(app))

    app.script(chunks=None, interval=0.002)
    site = guarded(app, Starlette(routes=[Route("/answer", answer)]))
    await a_client_leaves(app, of_spec_2_4(site))


@pattern()
async def a_shutdown_in_the_middle(app: App) -> None:
    """A deployment stops the server while it streams: uvicorn waits, and then cancels the
    requests that are left; the body saves what it has."""
    requests = Requests(app, _site(app, wrap=False, paced=False))
    app.script(hang_at=1)
    async with serving(requests, patience=1) as site:
        client = await site.client()
        client.ask("/answer")
        await client.sees(b"word0")
        site.stop()
        await app.until(requests.over, "the request's end")


@pattern()
async def a_dependency_commits(app: App) -> None:
    """FastAPI's documentation: a dependency with yield commits after the response, or rolls back
    where an exception comes."""

    async def session() -> AsyncIterator[None]:
        try:
            yield
        except BaseException as exc:
            app.log("rolled back:", type(exc).__name__)
            raise
        else:
            await asyncio.sleep(0.01)
            app.log("committed")

    site = guarded(app, FastAPI())

    @site.get("/answer")
    async def answer(_: None = Depends(session)) -> StreamingResponse:
        return StreamingResponse(saving(app), background=_after(app))

    app.script(hang_at=1)
    await a_client_leaves(app, site)


def _held(app: App, pause: float) -> Any:
    """Return a site whose background task reads the rest of the stream that its body began."""

    async def answer(request: Request) -> Response:
        stream = await app.stream()
        pieces: list[str] = []

        async def body() -> AsyncIterator[str]:
            async for chunk in stream:
                pieces.append(text_of(chunk))
                yield pieces[-1]
                await words_a_minute(pieces[-1])

        async def rest() -> None:
            await asyncio.sleep(pause)
            try:
                async for chunk in stream:
                    pieces.append(text_of(chunk))
                    await asyncio.sleep(0.03)
            except BaseException as exc:
                app.caught(exc)
            (app.folder / "answer").write_text("".join(pieces))
            app.log("stored")

        return StreamingResponse(body(), background=BackgroundTask(rest))

    return guarded(app, Starlette(routes=[Route("/answer", answer)]))


@pattern()
async def a_background_task_reads_the_rest(app: App) -> None:
    """A chat stores the whole answer though the user closed the tab: its background task reads
    on from where the body was stopped."""
    await a_client_leaves(app, _held(app, 0))


@pattern()
async def a_background_task_reads_the_rest_later(app: App) -> None:
    """The same, where the task first waits for a database's connection."""
    await a_client_leaves(app, _held(app, 0.1))


@pattern()
async def a_producer_outlives_its_request(app: App) -> None:
    """Resumable streams, as in the Vercel AI SDK's guide: a producer pulls each chunk in a task of
    its own, for a queue, and goes on without the client."""

    async def pulled(stream: Any) -> Any:
        return await stream.__anext__()

    produced = asyncio.Event()
    kept: list[asyncio.Task[None]] = []

    async def produce(stream: Any, pieces: asyncio.Queue[str]) -> None:
        whole = ""
        try:
            while True:
                chunk = await asyncio.create_task(pulled(stream))
                whole += text_of(chunk)
                await pieces.put(text_of(chunk))
                await asyncio.sleep(0.03)
        except StopAsyncIteration:
            pass
        except BaseException as exc:
            app.caught(exc, book="producer")
        finally:
            (app.folder / "answer").write_text(whole)
            produced.set()

    async def answer(request: Request) -> Response:
        pieces: asyncio.Queue[str] = asyncio.Queue()
        kept.append(asyncio.create_task(produce(await app.stream(), pieces)))

        async def body() -> AsyncIterator[str]:
            while True:
                yield await pieces.get()

        return StreamingResponse(body())

    app.script(chunks=15, interval=0.005)
    await a_client_leaves(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    await app.until(produced, "the producer")


@pattern()
async def a_later_request_resumes(app: App) -> None:
    """A registry keeps the stream of a conversation, and the reconnected client's request reads
    on."""
    registry: dict[str, Any] = {}

    async def answer(request: Request) -> Response:
        registry["stream"] = stream = await app.stream()

        async def body() -> AsyncIterator[str]:
            async for chunk in stream:
                yield text_of(chunk)
                await words_a_minute(text_of(chunk))

        return StreamingResponse(body())

    async def resume(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            try:
                async for chunk in registry["stream"]:
                    yield text_of(chunk)
            except Exception as exc:
                app.caught(exc)

        return StreamingResponse(body())

    routes = [Route("/answer", answer), Route("/resume", resume)]
    requests = Requests(app, guarded(app, Starlette(routes=routes)))
    async with serving(requests) as site:
        await leaves_after_a_piece(site, "/answer")
        await app.until(requests.over, "the request's end")
        await asyncio.sleep(0.1)  # the client's reconnection
        app.log(await site.get("/resume"))


class _ReadingOn(Response):
    """Sends what it reads, and reads to the end whoever is there; then it stores the answer."""

    def __init__(self, app: App, stream: Any) -> None:
        super().__init__()
        self._app = app
        self._stream = stream

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await reads_on(self._app, self._stream, send)


async def reads_on(app: App, stream: Any, send: Any) -> None:
    """Send what is read, to the end, and store it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    whole = ""
    try:
        async for chunk in stream:
            whole += text_of(chunk)
            body = text_of(chunk).encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})
    except BaseException as exc:
        app.caught(exc, "as it read on:")
        raise
    finally:
        (app.folder / "answer").write_text(whole)
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    app.log("stored")


@pattern(needs="unguarded")
async def a_response_that_reads_on_by_metadata(app: App) -> None:
    """A Response of the application's own reads on after the client left; the call's metadata
    says so to the package."""

    async def answer(request: Request) -> Response:
        return _ReadingOn(app, await app.stream(metadata=dict(UNGUARDED)))

    app.script(chunks=20, interval=0.01)
    await a_client_leaves(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))


def unguarded(app: App) -> Any:
    """Return the package's context manager, or one that does nothing where it is not there."""
    if app.package:
        from litellm_cancel_otel import unguarded as packages

        return packages()
    from contextlib import nullcontext

    return nullcontext()


@pattern(needs="unguarded")
async def a_raw_application_that_reads_on_unguarded(app: App) -> None:
    """A raw ASGI application reads on to bill the whole answer, in the package's own block."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        with unguarded(app):
            await reads_on(app, await app.stream(), send)

    app.script(chunks=20, interval=0.01)
    await a_client_leaves(app, wrapped(app, asgi))


@pattern(needs="unguarded")
async def an_endpoint_that_reads_on_unguarded(app: App) -> None:
    """A FastAPI route says by a dependency that its response reads on."""

    async def nothing() -> None:
        return None

    def dependency() -> Any:
        return unguarded(app) if app.package else nothing

    site = guarded(app, FastAPI())

    @site.get("/answer", dependencies=[Depends(dependency())])
    async def answer() -> Response:
        return _ReadingOn(app, await app.stream())

    app.script(chunks=20, interval=0.01)
    await a_client_leaves(app, site)


@pattern()
async def a_handler_goes_on_without_its_client(app: App) -> None:
    """FastAPI does not stop a handler that is not streaming: it ends its call and stores it."""
    stored = asyncio.Event()

    async def answer(request: Request) -> Response:
        text = (await app.chat()).choices[0].message.content
        await asyncio.sleep(0.05)
        (app.folder / "answer").write_text(text + (await app.chat()).choices[0].message.content)
        app.log("stored")
        stored.set()
        return JSONResponse({"answer": text})

    app.script(hang_at="before_headers")
    requests = Requests(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    async with serving(requests) as site:
        client = await site.client()
        client.ask("/answer")
        exchange = await app.hanging()
        client.leave()
        await asyncio.sleep(0.1)  # longer than any grace for a body that is being sent
        app.script()
        app.release(exchange)
        await app.until(stored, "the store")
        await app.until(requests.over, "the request's end")


@pattern()
async def a_queues_worker_begun_by_the_first_request(app: App) -> None:
    """A worker that batches prompts is started by the first request and serves all of them; its
    first client leaves."""
    todo: asyncio.Queue[asyncio.Future[str]] = asyncio.Queue()
    workers: list[asyncio.Task[None]] = []

    async def work() -> None:
        while True:
            asked = await todo.get()
            try:
                text = "".join([text_of(chunk) async for chunk in await app.stream()])
            except BaseException as exc:
                app.caught(exc, book="worker")
                raise
            app.log(text, book="worker")
            if not asked.done():
                asked.set_result(text)

    async def answer(request: Request) -> Response:
        if not workers:
            workers.append(asyncio.create_task(work()))
        asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        todo.put_nowait(asked)

        async def body() -> AsyncIterator[str]:
            yield "word0 is coming: "
            yield await asked

        return StreamingResponse(body())

    app.script(hang_at=2)
    requests = Requests(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    async with serving(requests) as site:
        await leaves_after_a_piece(site, "/answer")
        exchange = await app.hanging()
        await app.until(requests.over, "the request's end")
        await asyncio.sleep(0.1)  # longer than the guard's patience
        app.script()
        app.release(exchange)
        app.log(await site.get("/answer"), await site.get("/answer"))
    workers[0].cancel()
    await app.ended(workers[0])


@pattern()
async def a_task_that_the_handler_leaves_behind(app: App) -> None:
    """A handler answers at once and leaves a task that makes the calls; the client goes."""
    done = asyncio.Event()
    kept: list[asyncio.Task[None]] = []

    async def later() -> None:
        try:
            async for chunk in await app.stream():
                app.log(text_of(chunk), book="later")
                await asyncio.sleep(0.02)
        except BaseException as exc:
            app.caught(exc, book="later")
        finally:
            done.set()

    async def answer(request: Request) -> Response:
        kept.append(asyncio.create_task(later()))
        return JSONResponse({"accepted": "word0"})

    await a_client_leaves(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    await app.until(done, "the task")
