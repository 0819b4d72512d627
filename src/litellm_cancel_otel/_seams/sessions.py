"""Requests that LiteLLM makes with a session of aiohttp's itself, and not through httpx.

The provider ``aiohttp_openai`` does, and some of the calls for images.
"""

from functools import wraps
from typing import Any

from .._calls.call import Call
from .._calls.upstream import Upstream
from .active import asking_call
from .addresses import address_in
from .patching import SeamMissing, Undo, replace


def install(library: Any) -> Undo:
    """Watch aiohttp's sessions; raise SeamMissing where they are not as expected."""
    original = getattr(getattr(library, "ClientSession", None), "_request", None)
    if original is None:
        raise SeamMissing(f"{library.__name__}.ClientSession._request is not there")

    @wraps(original)
    async def _request(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
        call = asking_call()
        if call is None or _is_httpx_s(call):
            return await original(self, method, str_or_url, **kwargs)
        upstream = Upstream(*address_in(str(str_or_url)))
        call.upstream = upstream
        try:
            response = await original(self, method, str_or_url, **kwargs)
        except BaseException:  # the host's: the exchange is over, and the same object raised again
            upstream.closed(call.clock())
            raise
        upstream.connection = _Response(response)
        return response

    return replace(library.ClientSession, "_request", _request)


def _is_httpx_s(call: Call) -> bool:
    """Return whether httpx sends the request, through LiteLLM's transport, and is watched there."""
    upstream = call.upstream
    return upstream is not None and upstream.closed_at is None and upstream.connection is None


class _Response:
    """The connection's end of a response of aiohttp's, which closes with the end of its body."""

    __slots__ = ("_response",)

    def __init__(self, response: Any) -> None:
        self._response = response

    def is_closed(self) -> bool:
        """Return whether the response is closed."""
        return getattr(self._response, "closed", False) is True

    def is_read(self) -> bool:
        """Return whether somebody other than the call reads the response: nobody does."""
        return False

    async def close(self) -> None:
        """Close the response."""
        self._response.close()
