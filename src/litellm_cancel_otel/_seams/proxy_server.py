"""The LiteLLM Proxy's server: its running application, and its shutdown."""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

_SERVER = "litellm.proxy.proxy_server"


def running_server() -> Any:
    """Return the module of the Proxy that runs in this process, None where none does."""
    server = sys.modules.get(_SERVER)
    app = getattr(server, "app", None)
    return server if app is not None and hasattr(app, "middleware_stack") else None


def put_around(server: Any, middleware: type) -> None:
    """Put an ASGI middleware around the Proxy's application."""
    app = server.app
    if app.middleware_stack is None:
        app.add_middleware(middleware)
    else:  # built already: a Starlette application that has started takes no more middleware
        app.middleware_stack = middleware(app.middleware_stack)


def after_shutdown(server: Any, act: Callable[[], Awaitable[None]]) -> None:
    """Have something done after the Proxy's shutdown, unless that was cancelled.

    uvicorn ends by the signal that stopped it, and then no ``atexit`` runs.
    """
    original = getattr(server, "proxy_shutdown_event", None)
    if original is None:
        return

    async def proxy_shutdown_event(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(*args, **kwargs)
        except Exception:  # the proxy's: done all the same, and the same object raised again
            await act()
            raise
        await act()
        return result

    server.proxy_shutdown_event = proxy_shutdown_event
