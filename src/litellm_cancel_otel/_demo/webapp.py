"""A web application as its users write it, in a real uvicorn: ``python -m ….webapp FD with``.

``FD`` is the socket that it listens on. What becomes of each request is told on standard output,
one JSON object a line.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import litellm
import uvicorn
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route

from .. import CancellationMiddleware, CancelTelemetry
from .._contract import semconv as sc
from . import quiet
from .fakes import litellm_kwargs


def tell(run: str, **what: object) -> None:
    """Tell the parent what became of a request."""
    print(json.dumps({"run": run, "at": time.perf_counter(), **what}), flush=True)


async def pieces(run: str, base_url: str, size: int) -> AsyncIterator[bytes]:
    """Hand on what the model says: the application's own generator."""
    got = None
    try:
        stream: Any = await litellm.acompletion(
            messages=[{"role": "user", "content": "Say something long."}],
            stream=True,
            litellm_call_id=run,
            **litellm_kwargs("azure", base_url),
        )
        async for _ in stream:
            yield b"piece".ljust(size, b".")
    except BaseException as exc:
        got = type(exc).__name__
        raise
    finally:
        tell(run, event="finally", got=got)


async def answer(request: Request) -> StreamingResponse:
    """Answer with a stream."""
    asked = request.query_params
    return StreamingResponse(pieces(asked["run"], asked["base_url"], int(asked["size"])))


async def passing(request: Request, call_next: Any) -> Any:
    """Do nothing, as any ``@app.middleware("http")`` does beside its work."""
    return await call_next(request)


class _Told(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            said = dict(span.attributes or {})
            tell(str(said.pop(sc.CALL_ID, "")), event="span", attributes=said)
        return SpanExportResult.SUCCESS


def application(*, package: bool) -> Starlette:
    """Return the application, with this package's two lines or without."""
    behind_middleware = Starlette(
        routes=[Route("/answer", answer)],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=passing)],
    )
    app = Starlette(routes=[Route("/bare/answer", answer), Mount("/wrapped", behind_middleware)])
    if package:
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(_Told()))
        litellm.callbacks = [
            CancelTelemetry(tracer_provider=tracers, meter_provider=MeterProvider())
        ]
        app.add_middleware(CancellationMiddleware)
    return app


def main(fd: str, package: str) -> None:
    """Serve until the process is ended."""
    quiet.libraries()
    app = application(package=package == "with")
    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(fd))])


if __name__ == "__main__":
    main(*sys.argv[1:])
