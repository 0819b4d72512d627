"""The request that a route is called with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from .problem import Problem

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``body`` is JSON."""

    method: str
    target: str
    body: str | None = None
    headers: Headers = ()

    @property
    def route(self) -> str:
        """The method and the path."""
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        """The path, without a query."""
        return self.target.partition("?")[0]


def request_of(route: str, body: str | None = None, headers: Headers = ()) -> Request:
    """Return the request for a route such as ``POST /chat``; raise Problem for another text."""
    method, _, target = route.strip().rpartition(" ")
    method = (method or ("GET" if body is None else "POST")).strip().upper()
    if not target.startswith("/") or not method.isalpha():
        raise Problem(f"{route!r} is no route: write it as 'POST /chat'")
    if not target.isascii():
        raise Problem(f"{route!r} is no route: percent-encode what is not ASCII")
    if body is not None:
        try:
            json.loads(body)
        except ValueError as exc:
            raise Problem(f"the body for {route} is no JSON: {exc}") from None
    return Request(method, target, body, headers)


def headers_of(lines: Sequence[str]) -> Headers:
    """Return headers from lines such as ``Authorization: Bearer …``."""
    found = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isascii() or not line.isprintable():
            raise Problem("a header is written as 'Name: value'")
        found.append((name.strip(), value.strip()))
    return tuple(found)
