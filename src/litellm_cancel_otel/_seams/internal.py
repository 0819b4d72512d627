"""What LiteLLM is told of an internal cancel: an error that it retries and falls back on."""

from litellm.exceptions import InternalServerError

from .._calls.call import Call
from ..errors import AzureCancellationError

AZURE = frozenset({"azure", "azure_text"})


def provider_error(call: Call, exc: BaseException) -> Exception:
    """Return the error that stands for an internal cancel, chained to it.

    On Azure an ``AzureCancellationError``; elsewhere LiteLLM's ``InternalServerError``: both with
    status 500, which LiteLLM's retries and fallbacks act on.
    """
    facts = call.facts()
    if facts.provider in AZURE:
        error: Exception = AzureCancellationError.from_asyncio_exception(
            exc, context=facts.operation, preserve_semantics=False
        )
    else:
        error = InternalServerError(
            message=f"{facts.provider} cancelled the request internally",
            llm_provider=facts.provider,
            model=facts.model,
        )
    error.__cause__ = exc
    return error


def mapped_error(call: Call, exc: BaseException) -> Exception:
    """Return the same for a place past LiteLLM's own mapping: always one of LiteLLM's errors."""
    error = provider_error(call, exc)
    if not isinstance(error, AzureCancellationError):
        return error
    facts = call.facts()
    mapped = InternalServerError(
        message=f"AzureException InternalServerError - {error}",
        llm_provider=facts.provider,
        model=facts.model,
    )
    mapped.__cause__ = error
    return mapped
