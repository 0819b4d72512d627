"""Beside FastAPI's instrumentation: every order of coming and going, each in a forked child.

``python -m neighbours.web`` serves requests whose answers are a model's, and prints as JSON what
each of the two has seen.
"""

from __future__ import annotations

import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["OTEL_METRICS_EXPORTER"] = "none"

import asyncio

import fastapi
import litellm
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.background import BackgroundTask

from litellm_cancel_otel import CancelInstrumentor, CancellationMiddleware, Settings
from litellm_cancel_otel._demo.fakes import (
    FakeProvider,
    Script,
    aclose_litellm_clients,
)
from support.children import take_default_signals
from support.forking import in_child

from .application import application
from .places import changed, ours, places
from .spans import Spans

WAYS = ("completed", "streamed", "client gone")
"""How the requests end."""

ORDERS = tuple(
    (comes, first, middleware)
    for comes in ("before", "after")
    for first in ("theirs", "ours")
    for middleware in ("added", "around")
)
"""Whether it comes before or after this package, which leaves first, where the middleware is."""

SCOPE = "opentelemetry.instrumentation.fastapi"
SECONDS = 120


def run(comes: str, first: str, middleware: str) -> dict[str, Any]:
    """Return what each has seen, and what is left behind."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    before, web_before = places(), _web_places()
    theirs, mine = FastAPIInstrumentor(), CancelInstrumentor()
    settings = Settings(spans="all", top_socket=None, middleware=middleware == "around")
    come = [theirs.instrument, lambda: mine.instrument(settings=settings)]
    go = [theirs.uninstrument, mine.uninstrument]
    for one in come if comes == "before" else reversed(come):
        one()
    status = asyncio.run(_requests(middleware, go if first == "theirs" else go[::-1]))
    spans = Spans(memory, SCOPE, None)
    return {
        "status": status,
        "ours": spans.ours(),
        "theirs": spans.theirs(),
        "related": spans.related(),
        "left": [*changed(before, places()), *changed(web_before, _web_places())],
        "left of ours": ours(),
        "callbacks": [str(one) for one in litellm.callbacks],
    }


def _web_places() -> dict[str, tuple[Any, ...]]:
    return {
        "FastAPI": (fastapi.FastAPI,),
        "Starlette.__call__": (Starlette.__call__,),
        "BackgroundTask.__call__": (BackgroundTask.__call__,),
    }


async def _requests(middleware: str, go: list[Any]) -> dict[str, int]:
    async with FakeProvider() as provider:
        app = application(provider)
        if middleware == "added":
            app.add_middleware(CancellationMiddleware)
        status = {way: await _request(app, provider, way) for way in WAYS}
        go[0]()
        status["one has left"] = await _request(app, provider, "one has left")
        go[1]()
        status["both have left"] = await _request(app, provider, "both have left")
        await aclose_litellm_clients()
    return status


async def _request(app: fastapi.FastAPI, provider: FakeProvider, way: str) -> int:
    """Ask the application as a server does; return the status that the client gets."""
    leaves = way == "client gone"
    provider.script = Script(hang_at=2 if leaves else None)
    gone, status, ended = asyncio.Event(), 0, False
    headers: dict[str, str] = {}
    with trace.get_tracer("application").start_as_current_span(way):
        inject(headers)
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, ended
        status = message.get("status", status)
        ended = message["type"] == "http.response.body" and not message.get("more_body")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/whole" if way == "completed" else "/streamed",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    serving = asyncio.create_task(app(scope, receive, send))
    exchange = await provider.next_exchange(60)
    if leaves:
        await exchange.wait_hanging()
        gone.set()
    await serving
    assert ended is not leaves
    return status


def main() -> None:
    """Print what came of each order."""
    take_default_signals()
    for order in ORDERS:
        came = in_child(lambda o=order: run(*o), SECONDS)
        print(json.dumps({"order": order, "came": came}), flush=True)


if __name__ == "__main__":
    main()
