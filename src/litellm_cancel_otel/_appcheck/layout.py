"""What a Starlette or FastAPI application consists of: routes, and middleware around each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, Route

from .._integration.middleware import CancellationMiddleware
from .samples import sample_request

_METHODS: Final = ("GET", "POST")
"""What a check calls unasked: a route of another method changes or deletes something."""


def describe(app: Any) -> dict[str, Any]:
    """Return the routes that can be called, and the middleware of every part of an application."""
    outside, inner = _unwrapped(app)
    parts = [{"prefix": "", "middleware": outside + _around(inner)}, *_mounted(inner, "")]
    return {"routes": _documented(inner) or list(_plain(inner, "")), "parts": parts}


def _unwrapped(app: Any) -> tuple[list[dict[str, str]], Any]:
    """Return what an application was wrapped in by hand, outermost first, and the application."""
    outside = []
    while not hasattr(app, "user_middleware") and hasattr(app, "app"):
        outside.append(_middleware(type(app), {}))
        app = app.app
    return outside, app


def _around(app: Any) -> list[dict[str, str]]:
    return [_middleware(one.cls, one.kwargs) for one in getattr(app, "user_middleware", ())]


def _middleware(cls: Any, kwargs: Any) -> dict[str, str]:
    """Return what a middleware is called, and of which kind it is."""
    name = getattr(cls, "__name__", None) or type(cls).__name__
    if not isinstance(cls, type):
        return {"name": name, "kind": "other"}
    if issubclass(cls, CancellationMiddleware):
        return {"name": name, "kind": "ours"}
    if not issubclass(cls, BaseHTTPMiddleware):
        return {"name": name, "kind": "other"}
    dispatch = kwargs.get("dispatch")
    if dispatch is not None:
        name = f'@app.middleware("http") {getattr(dispatch, "__qualname__", dispatch)}'
    return {"name": name, "kind": "base_http"}


def _mounted(app: Any, prefix: str) -> Iterator[dict[str, Any]]:
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount):
            below = prefix + route.path
            outside, inner = _unwrapped(route.app)
            if around := outside + _around(inner):
                yield {"prefix": below, "middleware": around}
            yield from _mounted(inner, below)


def _documented(app: Any) -> list[dict[str, Any]]:
    """Return the routes of an OpenAPI document, each with a request that it may take."""
    openapi = getattr(app, "openapi", None)
    if not callable(openapi):
        return []
    document = openapi()
    found = []
    for path, operations in document.get("paths", {}).items():
        for method in _METHODS:
            if (operation := operations.get(method.lower())) is not None:
                target, body = sample_request(document, path, operation)
                found.append({"method": method, "target": target, "body": body})
    return found


def _plain(app: Any, prefix: str) -> Iterator[dict[str, Any]]:
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount):
            yield from _plain(_unwrapped(route.app)[1], prefix + route.path)
        elif isinstance(route, Route) and "{" not in route.path:
            for method in _METHODS:
                if method in (route.methods or ()):
                    body = "{}" if method == "POST" else None
                    yield {"method": method, "target": prefix + route.path, "body": body}
