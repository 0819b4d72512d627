"""The LiteLLM Proxy's handler: one line of its config, and everything is watched."""

from functools import cache, partial

from .._contract.log import warn
from .._seams import proxy_server
from .callback import CancelTelemetry
from .middleware import CancellationMiddleware
from .shutdown import export_last


@cache
def proxy_handler() -> CancelTelemetry:
    """Return the callback of this process's proxy, made once.

    It also puts the middleware around the proxy's application, which is running by the time that
    its config is read, and exports what was recorded when the proxy shuts down.
    """
    handler = CancelTelemetry()
    server = proxy_server.running_server()
    if server is None:
        warn(
            "no LiteLLM Proxy runs in this process: proxy_handler watches its calls, but knows no "
            "disconnects. In an application of your own, use CancelTelemetry and "
            "CancellationMiddleware."
        )
        return handler
    proxy_server.put_around(server, CancellationMiddleware)
    tracker = handler._tracker
    proxy_server.after_shutdown(server, partial(export_last, tracker.flush, tracker.faults))
    return handler
