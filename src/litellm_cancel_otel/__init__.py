"""Makes the cancellations of LiteLLM calls visible in OpenTelemetry, and right.

Importing this changes nothing; creating a ``CancelTelemetry`` does. ``proxy_handler`` is for the
LiteLLM Proxy's config and is created when it is first asked for.
"""

from ._callback import VERSION as __version__
from ._callback import CancelTelemetry
from ._middleware import CancellationMiddleware
from ._settings import Settings

__all__ = ["CancelTelemetry", "CancellationMiddleware", "Settings", "__version__"]


def __getattr__(name: str) -> object:
    if name == "proxy_handler":
        from ._proxy import proxy_handler

        return proxy_handler()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
