"""What a Starlette or FastAPI application consists of: routes, and middleware around each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, Route, Router

from .._integration.middleware import CancellationMiddleware
from .samples import sample_request

_METHODS: Final = ("GET", "POST")
"""What a check calls unasked: a route of another method changes or deletes something."""


def describe(app: Any) -> dict[str, Any]:
    """Return the routes that can be called, and the middleware around every part that has some.

    The first part whose pattern a path matches is the one that answers it.
    """
    outside, inner = _unwrapped(app)
    around = outside + _around(inner)
    parts = [*_parts(inner, "", around), _part(".*", around)]
    return {"routes": _documented(inner) or list(_plain(inner, "")), "parts": parts}


def _unwrapped(app: Any) -> tuple[list[dict[str, str]], Any]:
    """Return what stands around an application, outermost first, and the application."""
    outside = []
    while not hasattr(app, "routes") and hasattr(app, "app"):
        by_hand = type(app) is BaseHTTPMiddleware
        outside.append(_middleware(type(app), {"dispatch": app.dispatch_func} if by_hand else {}))
        app = app.app
    return outside, app


def _around(app: Any) -> list[dict[str, str]]:
    added = [_middleware(one.cls, one.kwargs) for one in getattr(app, "user_middleware", ())]
    router = getattr(app, "router", app)
    stack = router.middleware_stack if isinstance(router, Router) else None
    return added + _unwrapped(stack)[0]


def _parts(app: Any, prefix: str, around: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    for route in getattr(app, "routes", ()):
        if isinstance(route, Mount):
            outside, inner = _unwrapped(route.app)
            below, there = prefix + route.path, around + outside + _around(inner)
            yield from _parts(inner, below, there)
            yield _part(f"{_pattern(below)}(/.*)?", there)
        elif isinstance(route, Route):
            own, _ = _unwrapped(route.app)
            methods = sorted(route.methods) if route.methods else None
            yield _part(_pattern(prefix + route.path), around + own, methods)


def _part(
    pattern: str, around: list[dict[str, str]], methods: list[str] | None = None
) -> dict[str, Any]:
    return {"pattern": pattern, "methods": methods, "middleware": around}


def _pattern(path: str) -> str:
    """Return the regular expression for a path of Starlette's, in which names stand in braces."""
    found = ""
    for number, piece in enumerate(re.split(r"\{([^}]*)\}", path)):
        name = ".*" if piece.endswith(":path") else "[^/]+"
        found += name if number % 2 else re.escape(piece)
    return found


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
