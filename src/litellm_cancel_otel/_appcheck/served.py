"""What a test holds of an application that is served for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from .._demo.fakes import ThreadedFakeProvider
from .bench import Bench
from .host import App
from .problem import Problem
from .records import UPSTREAM, Left
from .request import Request, request_of
from .thread import in_thread
from .ways import ways_of

WITHIN = 0.05


class ServedApp:
    """An application on loopback before a fake provider: call its routes, leave them, and assert.

    It is served in a thread with a loop of its own, so that each of these waits may be made in a
    test, asynchronous or not.
    """

    def __init__(self, app: App, provider: ThreadedFakeProvider, *, package: bool = False) -> None:
        self._provider = provider
        self._stack = AsyncExitStack()
        self._checked: set[Request] = set()
        try:
            self._application = provider.run(self._start(app, package))
        except Problem as problem:
            raise AssertionError(str(problem)) from None
        self._bench = Bench(self._application, provider.provider)

    @property
    def base_url(self) -> str:
        """The address, without a path."""
        host, port = self._application.address
        return f"http://{host}:{port}"

    @property
    def spans(self) -> Sequence[Mapping[str, Any]]:
        """The attributes of each LiteLLM call's span so far, with its ``start`` and ``end``."""
        self._application.ask_state()
        return tuple(self._application.told.spans)

    def leave(
        self,
        route: str,
        way: str = "middle",
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Left:
        """Call a route such as ``POST /chat``, leave it in one way; return what became of it."""
        (chosen,) = ways_of((way,))
        request = self._ready(route, body, headers)
        try:
            return self._provider.run(self._bench.leave(request, chosen))
        except Problem as problem:
            raise AssertionError(str(problem)) from None

    def assert_unwound(
        self,
        route: str,
        within: float = WITHIN,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        ways: Sequence[str] | None = None,
    ) -> None:
        """Assert that a route ends in time in whichever way its client leaves.

        ``within`` is in seconds, from the client's leaving to the ``finally``; the provider's
        connection may take twice as long.
        """
        chosen = ways_of(None if ways is None else tuple(ways))
        request = self._ready(route, body, headers)
        try:
            checked = self._provider.run(self._bench.check(request, chosen, within))
        except Problem as problem:
            raise AssertionError(str(problem)) from None
        problems = checked.problems(within)
        assert not problems, "\n".join(
            [
                f"{request.route} is not unwound within {within:g} s "
                f"(its provider's connection within {UPSTREAM * within:g} s):",
                *(f"  {one}" for one in problems),
                f"  in the way: {', '.join(checked.middleware.in_the_way) or 'nothing'}; "
                f"CancellationMiddleware: {checked.middleware.ours}",
            ]
        )

    def close(self) -> None:
        """Stop serving."""
        self._provider.run(self._stack.aclose())

    async def _start(self, app: App, package: bool) -> Any:
        return await self._stack.enter_async_context(in_thread(app, package=package))

    def _ready(self, route: str, body: object, headers: Mapping[str, str] | None) -> Request:
        """Return a route's request; the first one is tried: LiteLLM imports much at first."""
        text = None if body is None else json.dumps(body)
        try:
            request = request_of(route, text, tuple((headers or {}).items()))
            if request not in self._checked:
                self._provider.run(self._bench.probe(request))
        except Problem as problem:
            raise AssertionError(str(problem)) from None
        self._checked.add(request)
        return request
