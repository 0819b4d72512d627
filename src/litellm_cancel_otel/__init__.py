"""Makes the cancellations of LiteLLM calls visible in OpenTelemetry, and right.

Importing this changes nothing; creating a ``CancelTelemetry`` does.
"""

from ._callback import VERSION as __version__
from ._callback import CancelTelemetry
from ._middleware import CancellationMiddleware
from ._settings import Settings

__all__ = ["CancelTelemetry", "CancellationMiddleware", "Settings", "__version__"]
