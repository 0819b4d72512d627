"""Which middleware stands around a route, and where this package's belongs."""

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware as Added
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route, Router

from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._appcheck.layout import describe
from litellm_cancel_otel._appcheck.records import Middleware, middleware_of


class Signing(BaseHTTPMiddleware):
    """One that a user has as a class."""


async def page(request: Any) -> Any:
    """Answer nothing: it is never called."""


def around(app: Any, path: str = "/", method: str = "GET") -> Middleware:
    """Return the middleware around a path of an application."""
    return middleware_of(describe(app)["parts"], method, path)


def names(app: Any, path: str, method: str = "GET") -> list[str]:
    """Return the names of that middleware, outermost first."""
    return [one["name"] for one in around(app, path, method).all]


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
    assert around(app, "/inner/b", "POST").in_the_way == ["Signing"]
    assert describe(app)["routes"] == [{"method": "POST", "target": "/inner/b", "body": "{}"}]


def test_an_application_that_is_neither_has_no_routes() -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None: ...

    assert describe(bare)["routes"] == []
    assert around(bare).all == ()


def test_middleware_around_one_route() -> None:
    app = Starlette(
        routes=[
            Route("/a", page, middleware=[Added(GZipMiddleware), Added(Signing)]),
            Route("/b/{name}/c", page, middleware=[Added(Signing)]),
            Route("/b/{rest:path}", page),
            Route("/a", page, methods=["POST"]),
            Route("/bound", page),
        ],
        middleware=[Added(CancellationMiddleware)],
    )
    assert names(app, "/a") == ["CancellationMiddleware", "GZipMiddleware", "Signing"]
    assert names(app, "/a", "POST") == ["CancellationMiddleware"]
    assert names(app, "/b/x/c") == ["CancellationMiddleware", "Signing"]
    assert names(app, "/b/x/y/c") == ["CancellationMiddleware"]
    assert names(app, "/bound") == ["CancellationMiddleware"]


def test_middleware_around_a_mount_and_around_a_router() -> None:
    inner = Router([Route("/c", page, middleware=[Added(Signing)])], middleware=[Added(Signing)])
    app = Starlette(
        routes=[
            Mount("/a", routes=[Route("/b", page)], middleware=[Added(GZipMiddleware)]),
            Mount("/r", inner, middleware=[Added(GZipMiddleware)]),
        ]
    )
    assert names(app, "/a/b") == ["GZipMiddleware"]
    assert names(app, "/r/c") == ["GZipMiddleware", "Signing", "Signing"]
    assert names(app, "/r") == ["GZipMiddleware", "Signing"]
    assert names(app, "/row") == []
    assert [one["target"] for one in describe(app)["routes"]] == ["/a/b", "/r/c"]


def test_a_function_that_stands_around_one_route_has_its_name() -> None:
    async def log_requests(request: Any, call_next: Any) -> Any: ...

    route = Route("/a", page, middleware=[Added(BaseHTTPMiddleware, dispatch=log_requests)])
    (name,) = around(Starlette(routes=[route]), "/a").in_the_way
    assert name.startswith('@app.middleware("http")')
    assert name.endswith("log_requests")
