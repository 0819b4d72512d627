"""The web application under test, as its users write it; the runner is told what it sees.

It runs in a server's process of its own. ``DISCONNECT_RUNNER`` is the Unix socket of the runner,
``DISCONNECT_PACKAGE`` says whether this package is at work.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import litellm
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry
from litellm_cancel_otel._demo.fakes import litellm_kwargs

from .cells import MIDDLEWARE

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

runner = socket.socket(socket.AF_UNIX)
runner.connect(os.environ["DISCONNECT_RUNNER"])
package = os.environ["DISCONNECT_PACKAGE"] == "with"
reader = InMemoryMetricReader()
progress: dict[str, float] = {}
"""When each run's generator was last asked for a piece."""


def report(run: str, event: str, **more: object) -> None:
    """Tell the runner."""
    told = {"run": run, "event": event, "at": time.perf_counter(), **more}
    runner.sendall(json.dumps(told).encode() + b"\n")


class Reporting(SpanExporter):
    """Hands the spans to the runner."""

    def export(self, spans: Any) -> SpanExportResult:
        for span in spans:
            self._report(span)
        return SpanExportResult.SUCCESS

    def _report(self, span: ReadableSpan) -> None:
        said = dict(span.attributes or {})
        if run := said.get("litellm.call_id"):  # FastAPI makes spans of its own
            names = [event.name for event in span.events]
            report(str(run), "span", attributes=said, events=names)


async def pieces(run: str, provider: Any, base: str, size: int) -> AsyncIterator[bytes]:
    """The user's generator."""
    seen = None
    try:
        stream: Any = await litellm.acompletion(
            messages=[{"role": "user", "content": run}],
            stream=True,
            litellm_call_id=run,
            **litellm_kwargs(provider, base),
        )
        progress[run] = time.perf_counter()
        async for _ in stream:
            progress[run] = time.perf_counter()
            yield b"piece" + b"." * size
    except BaseException as exc:
        seen = type(exc).__name__
        raise
    finally:
        report(run, "finally", exception=seen)


async def answer(run: str, provider: str, base: str, size: int) -> StreamingResponse:
    """The endpoint."""
    return StreamingResponse(pieces(run, provider, base, size))


async def drain(run: str, provider: str, base: str) -> None:
    """What a background task does after the response."""
    async for _ in pieces(run, provider, base, 10):
        pass


async def answer_first(run: str, provider: str, base: str, tasks: BackgroundTasks) -> str:
    """The endpoint whose call comes after its response."""
    tasks.add_task(drain, run, provider, base)
    return "piece"


def wrapped_by(middleware: int) -> App:
    """Return the application with so many ``@app.middleware("http")``."""
    application = FastAPI()
    application.get("/answer")(answer)
    application.get("/background")(answer_first)

    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    for _ in range(middleware):
        application.middleware("http")(passing)
    if package:
        application.add_middleware(CancellationMiddleware)
    return application


def state() -> dict[str, object]:
    """Return what the package's own instruments say."""
    data = reader.get_metrics_data()
    totals: dict[str, float] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                values = [getattr(point, "value", 0) for point in metric.data.data_points]
                totals[metric.name] = sum(values)
    return {"now": time.perf_counter(), "progress": progress, "metrics": totals}


def watching(run: str, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Report when the server says that the client has gone, whoever listens."""
    known = False

    def learned(how: str) -> None:
        nonlocal known
        if not known:
            known = True
            report(run, "learned", how=how)

    async def receiving() -> Scope:
        message = await receive()
        if message["type"] == "http.disconnect":
            learned("receive")
        return message

    async def sending(message: Scope) -> None:
        try:
            await send(message)
        except OSError:
            learned("send")
            raise

    return receiving, sending


if package:
    litellm.callbacks = [
        CancelTelemetry(
            tracer_provider=(tracing := TracerProvider()), meter_provider=MeterProvider([reader])
        )
    ]
    tracing.add_span_processor(SimpleSpanProcessor(Reporting()))

APPS = {f"/{count}": wrapped_by(count) for count in MIDDLEWARE}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand a request to the application with as many middlewares as its path begins with."""
    if scope["type"] == "lifespan":
        await APPS["/0"](scope, receive, send)
    elif scope["path"] == "/state":
        body = json.dumps(state()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    else:
        (run,) = parse_qs(scope["query_string"].decode())["run"]
        mount, path = scope["path"][:2], scope["path"][2:]
        scope = {**scope, "path": path, "raw_path": path.encode()}
        await APPS[mount](scope, *watching(run, receive, send))
