"""Requests of asynchronous calls that LiteLLM makes in a thread, where no cancel can stop them.

LiteLLM runs each call's preparation in a thread of the loop's executor. Where it has no
asynchronous way to a provider for an operation, it makes the whole request there, with the
synchronous client of httpx: the caller is let go by a cancel, and the request goes on.
"""

import sys
from functools import wraps
from typing import Any

from .._asyncio.tasks import running_loop
from .._calls.call import Call
from .._calls.upstream import Upstream
from .active import CURRENT
from .addresses import address_of
from .patching import SeamMissing, Undo, replace

_ENTRY = "litellm.utils"
"""The module of LiteLLM's ``@client``, by which each call enters its thread."""


def install(library: Any) -> Undo:
    """Watch an HTTP library's synchronous client; raise SeamMissing where it has none."""
    original = getattr(getattr(library, "Client", None), "send", None)
    if original is None:
        raise SeamMissing(f"{library.__name__}.Client.send is not there")

    @wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        call = CURRENT.get()  # a thread of the executor's runs in the context of the call
        if call is None or not _is_made_here(call):
            return original(self, request, *args, **kwargs)
        upstream = Upstream(*address_of(request.url), in_thread=True)
        call.upstream = upstream
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException:  # the host's: the exchange is over, and the same object raised again
            upstream.closed(call.clock())
            raise
        if response.is_closed:  # it has been read to its end
            upstream.closed(call.clock())
        return response

    return replace(library.Client, "send", send)


def _is_made_here(call: Call) -> bool:
    """Return whether this thread makes the call, and is not one of a callback's or a hook's."""
    if call.ended or running_loop() is not None:
        return False
    outermost, frame = "", sys._getframe(2)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("litellm."):
            outermost = name
        frame = frame.f_back  # type: ignore[assignment]  # None ends it
    return outermost == _ENTRY
