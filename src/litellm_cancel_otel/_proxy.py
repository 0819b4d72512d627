"""The LiteLLM Proxy's handler: one line of its config, and everything is watched."""

import logging
import sys
from functools import cache
from typing import Any

from ._callback import CancelTelemetry
from ._middleware import CancellationMiddleware
from ._shutdown import export_last

log = logging.getLogger("litellm_cancel_otel")

SERVER = "litellm.proxy.proxy_server"


@cache
def proxy_handler() -> CancelTelemetry:
    """Return the callback of this process's proxy, made once.

    It also puts the middleware around the proxy's application, which is running by the time that
    its config is read, and exports what was recorded when the proxy shuts down.
    """
    handler = CancelTelemetry()
    server = sys.modules.get(SERVER)
    app = getattr(server, "app", None)
    if app is None or not hasattr(app, "middleware_stack"):
        log.warning(
            "no LiteLLM Proxy runs in this process: proxy_handler watches its calls, but knows no "
            "disconnects. In an application of your own, use CancelTelemetry and "
            "CancellationMiddleware."
        )
        return handler
    if app.middleware_stack is None:
        app.add_middleware(CancellationMiddleware)
    else:  # built already: a Starlette application that has started takes no more middleware
        app.middleware_stack = CancellationMiddleware(app.middleware_stack)
    _flush_at_shutdown(server, handler)
    return handler


def _flush_at_shutdown(server: Any, handler: CancelTelemetry) -> None:
    # uvicorn ends by the signal that stopped it, and then no atexit runs.
    original, tracker = getattr(server, "proxy_shutdown_event", None), handler._tracker
    if original is None:
        return

    async def proxy_shutdown_event(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(*args, **kwargs)
        except Exception:  # the proxy's: exported all the same, and the same object raised again
            await export_last(tracker.flush, tracker.faults)
            raise
        await export_last(tracker.flush, tracker.faults)
        return result

    server.proxy_shutdown_event = proxy_shutdown_event
