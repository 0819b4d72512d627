"""Web applications whose client stays, or whose protocol has a way of its own to leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import litellm
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from litellm_cancel_otel._demo.fakes import aclose_litellm_clients

from ..application import App, text_of, whole
from ..pattern import pattern
from ..web import guarded, serving, wrapped
from .saving import Requests, leaves_after_a_piece


async def _pieces(app: App) -> AsyncIterator[str]:
    try:
        async for chunk in await app.stream():
            yield text_of(chunk)
    finally:
        app.log("finally")


@pattern()
async def the_data_stream_protocol(app: App) -> None:
    """The Vercel AI SDK's data stream, LangServe's and OpenAI's own event streams: each chunk is
    an event, and the answer ends with a mark."""

    async def events() -> AsyncIterator[str]:
        async for chunk in await app.stream():
            said = chunk.model_dump(exclude={"id", "created"}, exclude_none=True)
            yield f"data: {json.dumps(said, sort_keys=True)}\n\n"
        yield "data: [DONE]\n\n"

    async def answer(request: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    async with serving(guarded(app, Starlette(routes=[Route("/answer", answer)]))) as site:
        for line in (await site.get("/answer")).splitlines():
            app.log(line)


@pattern()
async def server_sent_events(app: App) -> None:
    """sse-starlette, which MCP and LangServe use, sends a body of events, pings and listens for
    the client's going itself."""
    from sse_starlette.sse import EventSourceResponse

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            async for piece in _pieces(app):
                yield {"data": piece}
        except BaseException as exc:
            app.log(type(exc).__name__)
            raise

    async def answer(request: Request) -> Response:
        return EventSourceResponse(events())

    requests = Requests(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    async with serving(requests) as site:
        app.log(await site.get("/answer"), book="client")
        requests.over.clear()
        app.script(hang_at=1)
        await leaves_after_a_piece(site, "/answer")
        await app.until(requests.over, "the request's end")


@pattern()
async def a_handler_asks_whether_the_client_is_there(app: App) -> None:
    """Handlers poll request.is_disconnected() beside a model that is slow, and stop by
    themselves."""
    stopped = asyncio.Event()

    async def answer(request: Request) -> Response:
        stream = await app.stream()
        async for _ in stream:
            if await request.is_disconnected():
                app.log("nobody is there")
                break
        await stream.aclose()
        stopped.set()
        return JSONResponse({})

    app.script(chunks=None, interval=0.002)
    requests = Requests(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    async with serving(requests) as site:
        client = await site.client()
        client.ask("/answer")
        exchange = await app.exchange()
        await app.there(exchange.wait_chunks(5))
        client.leave()
        await app.until(stopped, "the handler")
        await app.until(requests.over, "the request's end")


@pattern()
async def a_websocket(app: App) -> None:
    """Chainlit, Gradio and voice bots stream over a websocket; the client leaves in the middle of
    the second answer."""
    from starlette.websockets import WebSocketDisconnect
    from websockets.asyncio.client import connect

    closed = asyncio.Event()

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                asked = await socket.receive_text()
                answering = asyncio.create_task(answer(socket))
                if asked == "wait":
                    await answering
                    continue
                await socket.receive_text()
        except WebSocketDisconnect:
            answering.cancel()
            await app.ended(answering, "the answer")
        finally:
            app.log("closed")
            closed.set()

    async def answer(socket: WebSocket) -> None:
        async for piece in _pieces(app):
            await socket.send_text(piece or "-")
        await socket.send_text("end")

    site = guarded(app, Starlette(routes=[WebSocketRoute("/chat", chat)]))
    async with serving(site) as running:
        async with connect(f"ws://127.0.0.1:{running.port}/chat") as client:
            await client.send("wait")
            while (piece := await client.recv()) != "end":
                app.log(piece, book="client")
            app.script(hang_at=1)
            await client.send("leave")
            while (piece := await client.recv()) != "word0":
                app.log(piece, book="client")
        await app.until(closed, "the socket's end")


@pattern()
async def a_body_that_is_replayed_for_ever(app: App) -> None:
    """A recipe for logging request bodies: a middleware reads the body and gives it again at each
    receive, for ever."""
    reads = 0

    async def answer(request: Request) -> Response:
        asked = await request.json()
        return JSONResponse({"said": asked, "answer": (await app.chat()).model})

    inner = guarded(app, Starlette(routes=[Route("/answer", answer, methods=["POST"])]))

    async def replaying(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]

        async def again() -> dict[str, Any]:
            nonlocal reads
            reads += 1
            return {"type": "http.request", "body": body, "more_body": False}

        await inner(scope, again, send)

    app.script(hang_at="before_headers")
    async with serving(replaying) as site:
        client = await site.client()
        client.ask("/answer", body=b'{"hello": 1}')
        exchange = await app.hanging()
        await asyncio.sleep(0.1)  # the model thinks
        app.release(exchange)
        app.log(await client.answer(), book="client")
    app.log("reads", "few" if reads < 20 else "many")


@pattern()
async def middlewares_that_change_the_body(app: App) -> None:
    """BaseHTTPMiddlewares count the response's bytes, and GZipMiddleware packs them."""

    async def answer(request: Request) -> Response:
        return StreamingResponse(_pieces(app), media_type="text/plain")

    class Counting(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Any:
            response = await call_next(request)
            app.log("status", response.status_code)
            inner = response.body_iterator

            async def counted() -> AsyncIterator[bytes]:
                total = 0
                async for part in inner:
                    total += len(part)
                    yield part
                app.log("bytes", total)

            response.body_iterator = counted()
            return response

    site = guarded(app, Starlette(routes=[Route("/answer", answer)]))
    site.add_middleware(Counting)
    site.add_middleware(GZipMiddleware)
    site.add_middleware(Counting)
    async with serving(site) as running:
        app.log(await running.get("/answer"), book="client")


@pattern()
async def a_body_that_fails_in_the_middle(app: App) -> None:
    """A provider breaks off, or the handler's own code fails, when the first bytes are out."""

    async def failing() -> AsyncIterator[str]:
        async for piece in _pieces(app):
            yield piece
            if piece:
                raise ValueError("a bug")

    async def answer(request: Request) -> Response:
        body = failing() if request.query_params else _pieces(app)
        return StreamingResponse(body)

    requests = Requests(app, guarded(app, Starlette(routes=[Route("/answer", answer)])))
    async with serving(requests) as site:
        for path, script in (("/answer?bug=1", {}), ("/answer", {"ending": "rst"})):
            requests.over.clear()
            app.script(**script)
            client = await site.client()
            client.ask(path)
            app.log((await client.sees(b"word0"))[-5:], book="client")
            await app.until(requests.over, "the request's end")


@pattern()
async def two_requests_on_one_connection(app: App) -> None:
    """A browser keeps its connection: the second request comes while the first is answered."""

    async def answer(request: Request) -> Response:
        asked = await request.body()
        answered = (await app.chat()).choices[0].message.content
        return JSONResponse({"asked": asked.decode(), "answer": answered})

    async with serving(
        guarded(app, Starlette(routes=[Route("/answer", answer, methods=["GET", "POST"])]))
    ) as site:
        client = await site.client()
        client.ask("/answer", body=b"first")
        client.ask("/answer", body=b"second")
        client.ask("/answer")
        for _ in range(3):
            app.log(await client.answer(), book="client")


@pattern()
async def a_body_that_comes_while_the_model_answers(app: App) -> None:
    """A transcription is asked for while the upload still comes: the call is made first, and the
    body read after it."""

    async def answer(request: Request) -> Response:
        said = [text_of(chunk) async for chunk in await app.stream()]
        parts = [part async for part in request.stream()]
        return JSONResponse({"said": "".join(said), "body": b"".join(parts).decode()})

    app.script(hang_at=2)
    async with serving(
        guarded(app, Starlette(routes=[Route("/answer", answer, methods=["POST"])]))
    ) as site:
        client = await site.client()
        head = b"POST /answer HTTP/1.1\r\nHost: server\r\nContent-Length: 12\r\n\r\n"
        client.send(head + b"here")
        exchange = await app.hanging()
        client.send(b" it ")
        await asyncio.sleep(0.02)  # the network
        app.release(exchange)
        client.send(b"goes")
        app.log(await client.answer(), book="client")


@pattern()
async def a_lifespan(app: App) -> None:
    """FastAPI applications warm their model up as they start, and say good-bye as they stop."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[dict[str, str]]:
        yield {"warm": await whole(await app.stream())}
        app.log("good-bye", await whole(await app.stream()))

    site = guarded(app, FastAPI(lifespan=lifespan))

    @site.get("/answer")
    async def answer(request: Request) -> dict[str, str]:
        return {"warm": request.state.warm}

    async with serving(site, lifespan="on") as running:
        app.log(await running.get("/answer"), book="client")


@pattern()
async def a_client_that_reads_late(app: App) -> None:
    """A phone in a tunnel does not read for a while; then it takes the whole of a long answer."""

    async def answer(request: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            async for piece in _pieces(app):
                yield piece * 20_000

        return StreamingResponse(body())

    app.script(chunks=30)
    async with serving(guarded(app, Starlette(routes=[Route("/answer", answer)]))) as site:
        client = await site.client()
        client.ask("/answer")
        await asyncio.sleep(0.1)  # the tunnel
        said = await client.answer()
        app.log(len(said), hash(said))


@pattern()
async def a_raw_application(app: App) -> None:
    """A raw ASGI application, as a framework's author writes it, reads a stream and a body."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        app.log(message)
        await send({"type": "http.response.start", "status": 201, "headers": []})
        async for piece in _pieces(app):
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
        await send({"type": "http.response.body"})
        app.log(await receive())

    requests = Requests(app, wrapped(app, asgi))
    async with serving(requests) as site:
        client = await site.client()
        client.ask("/answer")
        app.log(await client.answer(), book="client")
        client.leave()
        await app.until(requests.over, "the request's end")


@pattern()
async def synchronous_endpoints(app: App) -> None:
    """FastAPI runs a plain def in a thread: it calls litellm.completion, or a loop of its own."""
    site = guarded(app, FastAPI())

    @site.get("/completion")
    def blocking() -> dict[str, str]:
        answer: Any = litellm.completion(**app.kwargs())
        return {"answer": answer.choices[0].message.content}

    @site.get("/loop")
    def with_a_loop() -> dict[str, str]:
        async def ask() -> str:
            answer = await whole(await app.stream())
            await aclose_litellm_clients()
            return answer

        return {"answer": asyncio.run(ask())}

    async with serving(site) as running:
        for path in ("/completion", "/loop", "/completion"):
            app.log(await running.get(path))
