"""What a server of ASGI spec 2.4 does, on top of uvicorn: none of the servers here speaks it yet.

From 2.4 on, ``send`` raises OSError once the client has gone, and frameworks stop listening for
``http.disconnect`` themselves.
"""

from __future__ import annotations

from .site import Receive, Scope, Send
from .site import app as site


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Run the site as such a server does."""
    if scope["type"] != "http":
        await site(scope, receive, send)
        return
    cycle = send.__self__  # type: ignore[attr-defined]  # uvicorn's, whose bound method it is

    async def raising(message: Scope) -> None:
        await send(message)
        if cycle.disconnected:
            raise OSError("the client has gone")

    await site({**scope, "asgi": {**scope["asgi"], "spec_version": "2.4"}}, receive, raising)
