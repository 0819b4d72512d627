"""Makes the cancellations of LiteLLM calls visible in OpenTelemetry, and right.

Importing this changes nothing, and does not even import LiteLLM: each name is loaded when it is
first asked for. ``proxy_handler``, for the LiteLLM Proxy's config, is created then.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._calls.unguarded import unguarded
    from ._contract.settings import Settings
    from ._integration.callback import VERSION as __version__
    from ._integration.callback import CancelTelemetry
    from ._integration.instrumentor import CancelInstrumentor as CancelInstrumentor
    from ._integration.middleware import CancellationMiddleware

__all__ = ["CancelTelemetry", "CancellationMiddleware", "Settings", "__version__", "unguarded"]

_HOMES = {
    # Not in __all__: it needs the extra `instrumentation`.
    "CancelInstrumentor": ("._integration.instrumentor", "CancelInstrumentor"),
    "CancelTelemetry": ("._integration.callback", "CancelTelemetry"),
    "CancellationMiddleware": ("._integration.middleware", "CancellationMiddleware"),
    "Settings": ("._contract.settings", "Settings"),
    "unguarded": ("._calls.unguarded", "unguarded"),
    "__version__": ("._integration.callback", "VERSION"),
}


def __getattr__(name: str) -> Any:
    if name == "proxy_handler":
        return import_module("._integration.proxy", __name__).proxy_handler()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module, __name__), attribute)
    globals()[name] = value  # found without us from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
