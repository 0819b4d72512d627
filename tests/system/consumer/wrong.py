"""A fault that mypy must find: without the package's types everything would be Any."""

from litellm_cancel_otel import CancelTelemetry

CancelTelemetry(settings="guard=False")
