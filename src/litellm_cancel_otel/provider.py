"""A base class for LiteLLM custom providers: whose cancel it was comes out right.

https://docs.litellm.ai/docs/providers/custom_llm_server describes custom providers.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import GenericStreamingChunk, ModelResponse

from ._asyncio.within import within
from .errors import LiteLLMAsyncError
from .handling import AsyncErrorContext, ErrorHandling

__all__ = ["BaseAsyncLLM"]


class BaseAsyncLLM(CustomLLM, ABC):
    """A custom provider, asynchronous only, under the error handling of ``handling``.

    Write ``_acompletion_impl``, and ``_astreaming_impl`` if the provider streams. Both get what
    LiteLLM passes to a custom provider, as keywords: ``model``, ``messages``, ``model_response``
    to fill, ``optional_params``, ``logging_obj`` and so on. ``provider`` is the name that it is
    registered under::

        litellm.custom_provider_map = [{"provider": "mine", "custom_handler": MyLLM("mine")}]
        await litellm.acompletion(model="mine/some-model", messages=[...])
    """

    def __init__(self, provider: str) -> None:
        super().__init__()
        self.provider = provider

    @abstractmethod
    async def _acompletion_impl(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the provider's answer."""

    async def _astreaming_impl(
        self, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[GenericStreamingChunk, None]:
        """Yield the provider's answer, chunk by chunk; here, raise LiteLLM's CustomLLMError."""
        yield await super().astreaming(*args, **kwargs)  # type: ignore[misc] # it only raises

    def create_provider_error(self, error: LiteLLMAsyncError) -> Exception:
        """Return what LiteLLM shall see of a cancel by the provider's side, or of a timeout.

        LiteLLM maps it by its ``status_code`` and ``message``. Here it is the error itself; it
        is raised from the original exception, whatever is returned.
        """
        return error

    async def safe_acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Return the provider's answer; the caller's own cancel comes out as it is.

        A cancel by the provider's side and a ``TimeoutError`` raise what
        ``create_provider_error`` makes of them; any other exception is raised as it is.
        """
        with self._handling("acompletion", kwargs):
            return await self._acompletion_impl(*args, **kwargs)

    async def acompletion(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer ``litellm.acompletion``."""
        return await self.safe_acompletion(*args, **kwargs)

    # LiteLLM iterates what this returns and does not await it, unlike what its signature says.
    def astreaming(  # type: ignore[override]
        self, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[GenericStreamingChunk, None]:
        """Answer ``litellm.acompletion(..., stream=True)``, handled as ``safe_acompletion`` is."""
        stream = within(lambda *_args, **_kwargs: self._handling("astreaming", kwargs))
        return stream(self._astreaming_impl)(*args, **kwargs)

    def _handling(self, operation: str, call: Mapping[str, Any]) -> ErrorHandling:
        context = AsyncErrorContext(self.provider, operation)
        return ErrorHandling(context, self.create_provider_error, call.get("logging_obj"))
