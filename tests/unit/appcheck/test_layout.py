"""Which middleware stands around a route, and where this package's belongs."""

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware as Added
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route

from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._appcheck.layout import describe
from litellm_cancel_otel._appcheck.records import Middleware


class Signing(BaseHTTPMiddleware):
    """One that a user has as a class."""


async def page(request: Any) -> Any:
    """Answer nothing: it is never called."""


def around(app: Any, prefix: str = "") -> Middleware:
    """Return the middleware of the part of an application that has a prefix."""
    parts = {part["prefix"]: part["middleware"] for part in describe(app)["parts"]}
    return Middleware(tuple(parts[prefix]))


def test_what_is_added_last_is_outermost() -> None:
    app = FastAPI()
    app.add_middleware(GZipMiddleware)

    @app.middleware("http")
    async def log_requests(request: Any, call_next: Any) -> Any: ...

    found = around(app)
    assert [one["kind"] for one in found.all] == ["base_http", "other"]
    assert len(found.in_the_way) == 1
    assert found.in_the_way[0].startswith('@app.middleware("http")')
    assert found.in_the_way[0].endswith("log_requests")
    assert found.ours == "missing"
    app.add_middleware(CancellationMiddleware)
    assert around(app).ours == "outermost"
    app.add_middleware(Signing)
    assert around(app).ours == "inside"
    assert around(app).in_the_way[0] == "Signing"


def test_an_application_that_is_wrapped_by_hand_is_looked_into() -> None:
    found = describe(CancellationMiddleware(Starlette(routes=[Route("/a", page)])))
    assert found["routes"] == [{"method": "GET", "target": "/a", "body": None}]
    assert found["parts"][0]["middleware"] == [{"name": "CancellationMiddleware", "kind": "ours"}]


def test_a_mounted_application_has_its_own_routes_and_middleware() -> None:
    inner = Starlette(routes=[Route("/b", page, methods=["POST"])], middleware=[Added(Signing)])
    app = Starlette(routes=[Route("/a/{name}", page), Mount("/inner", inner)])
    assert around(app, "/inner").in_the_way == ["Signing"]
    assert describe(app)["routes"] == [{"method": "POST", "target": "/inner/b", "body": "{}"}]


def test_an_application_that_is_neither_has_no_routes() -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None: ...

    assert describe(bare) == {"routes": [], "parts": [{"prefix": "", "middleware": []}]}
