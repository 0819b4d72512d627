"""The errors: what they carry, whose type wins, how they travel, what LiteLLM makes of them."""

import asyncio
import copy
import pickle
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import httpx
import litellm
import openai
import pytest
from litellm.exceptions import InternalServerError, Timeout
from litellm.llms.azure.common_utils import AzureOpenAIError
from litellm.llms.custom_llm import CustomLLM
from litellm.router import Router
from litellm.types.utils import ModelResponse
from litellm.utils import custom_llm_setup

from litellm_cancel_otel.errors import (
    AsyncCancellationError,
    AsyncTimeoutError,
    AzureCancellationError,
    LiteLLMAsyncError,
)
from support.cancels import leave_stale_count

ERRORS = [
    LiteLLMAsyncError("m", ValueError("v"), "openai", 502, attempt=2),
    AsyncCancellationError("m", asyncio.CancelledError("c"), "bedrock", attempt=2),
    AsyncTimeoutError("m", TimeoutError("t"), "openai", timeout_source="connect", attempt=2),
    AzureCancellationError("m", asyncio.CancelledError("c"), attempt=2),
]


def by_class(error: LiteLLMAsyncError) -> str:
    return type(error).__name__


async def internally() -> None:
    """Await what somebody else cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def caught(work: Callable[[], Awaitable[object]]) -> BaseException:
    try:
        await work()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


async def in_cancelled_task(look: Callable[[BaseException], object]) -> object:
    """Return what ``look`` says of a task's own cancel, inside that task."""
    waiting = asyncio.Event()

    async def work() -> object:
        try:
            waiting.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as exc:
            return look(exc)
        raise AssertionError("not cancelled")

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel("enough")
    return await task


# What they carry.


def test_further_keywords_are_kept_in_context() -> None:
    error = LiteLLMAsyncError("m", attempt=2, region="eu")
    assert error.context == {"attempt": 2, "region": "eu"}


def test_message_is_all_that_is_shown() -> None:
    error = AsyncCancellationError("m", asyncio.CancelledError("sk-secret"), "openai", key="sk-2")
    assert str(error) == "m"
    assert "sk-" not in repr(error)


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        ("azure", "azure_internal"),
        ("azure_text", "azure_internal"),
        ("openai", "openai_internal"),
        ("bedrock_converse", "bedrock_internal"),
    ],
)
def test_cancellation_is_internal_to_its_provider_unless_said_otherwise(
    provider: str, kind: str
) -> None:
    assert AsyncCancellationError("m", provider=provider).cancellation_type == kind


def test_cancellation_can_be_said_to_be_external() -> None:
    error = AsyncCancellationError("m", provider="azure", cancellation_type="external")
    assert error.cancellation_type == "external"


def test_timeout_error_is_caught_as_asyncios() -> None:
    with pytest.raises(asyncio.TimeoutError):
        raise AsyncTimeoutError


def test_timeout_error_has_no_errno() -> None:
    assert AsyncTimeoutError("m", TimeoutError()).errno is None


def test_azure_cancellation_is_litellms_azure_error_with_status_500() -> None:
    error = AzureCancellationError()
    assert isinstance(error, AzureOpenAIError)
    assert isinstance(error, AsyncCancellationError)
    assert (error.status_code, error.response.status_code) == (500, 500)
    assert error.cancellation_type == "azure_internal"


# Whose type wins.


@pytest.mark.parametrize("original", [TimeoutError(), TimeoutError("t")])
def test_timeout_keeps_its_semantics(original: TimeoutError) -> None:
    assert LiteLLMAsyncError("m", original).should_preserve_asyncio_semantics()


@pytest.mark.parametrize("original", [None, ValueError(), httpx.ReadTimeout("t")])
def test_other_exception_has_no_asyncio_semantics(original: BaseException | None) -> None:
    assert not LiteLLMAsyncError("m", original).should_preserve_asyncio_semantics()


async def test_callers_own_cancel_keeps_its_semantics() -> None:
    assert await in_cancelled_task(
        lambda exc: LiteLLMAsyncError("m", exc).should_preserve_asyncio_semantics()
    )


async def test_internal_cancel_has_no_asyncio_semantics() -> None:
    exc = await caught(internally)
    assert not LiteLLMAsyncError("m", exc).should_preserve_asyncio_semantics()


async def test_stale_count_gives_no_asyncio_semantics() -> None:
    await leave_stale_count()
    exc = await caught(internally)
    assert not LiteLLMAsyncError("m", exc).should_preserve_asyncio_semantics(since=1)


async def test_cancellation_type_decides_whose_cancel_it_was() -> None:
    def look(exc: BaseException) -> list[bool]:
        return [
            AsyncCancellationError(
                "m", exc, cancellation_type=kind
            ).should_preserve_asyncio_semantics()
            for kind in ("external", "openai_internal")
        ]

    assert await in_cancelled_task(look) == [True, False]


def test_reraise_raises_the_same_object() -> None:
    original = TimeoutError("t")
    with pytest.raises(TimeoutError) as raised:
        AsyncTimeoutError("m", original).reraise_if_asyncio_semantic()
    assert raised.value is original


def test_reraise_returns_where_there_is_nothing_to_preserve() -> None:
    LiteLLMAsyncError("m", ValueError()).reraise_if_asyncio_semantic()
    LiteLLMAsyncError("m").reraise_if_asyncio_semantic()


# AzureCancellationError.from_asyncio_exception


async def test_internal_cancel_is_converted_and_chained() -> None:
    exc = await caught(internally)
    error = AzureCancellationError.from_asyncio_exception(exc, "acompletion")
    assert error.__cause__ is exc
    assert error.original_exception is exc
    assert error.message.startswith("acompletion: ")


async def test_conversion_keeps_the_traceback() -> None:
    exc = await caught(internally)
    error = AzureCancellationError.from_asyncio_exception(exc)
    assert "in internally" in "".join(traceback.format_exception(error))


async def test_callers_own_cancel_is_raised_instead() -> None:
    def look(exc: BaseException) -> bool:
        with pytest.raises(asyncio.CancelledError) as raised:
            AzureCancellationError.from_asyncio_exception(exc)
        return raised.value is exc

    assert await in_cancelled_task(look)


async def test_callers_own_cancel_is_converted_where_semantics_do_not_matter() -> None:
    def look(exc: BaseException) -> bool:
        error = AzureCancellationError.from_asyncio_exception(exc, preserve_semantics=False)
        return error.__cause__ is exc

    assert await in_cancelled_task(look)


async def test_stale_count_does_not_stop_the_conversion() -> None:
    await leave_stale_count()
    exc = await caught(internally)
    assert AzureCancellationError.from_asyncio_exception(exc, since=1).__cause__ is exc


def test_converted_message_does_not_repeat_the_originals() -> None:
    exc = asyncio.CancelledError("the prompt")
    error = AzureCancellationError.from_asyncio_exception(exc, preserve_semantics=False)
    assert "the prompt" not in str(error)


# How they travel.


# Protocols up to 2 speak to Python 2, which has no TimeoutError.
@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", ERRORS, ids=by_class)
def test_pickle_keeps_everything(error: LiteLLMAsyncError, protocol: int) -> None:
    error.__cause__ = error.original_exception
    there = pickle.loads(pickle.dumps(error, protocol))
    assert type(there) is type(error)
    assert there.args == error.args
    assert repr(there.original_exception) == repr(error.original_exception)
    assert repr(there.__cause__) == repr(error.__cause__)
    without = ("original_exception", "request", "response")
    assert {name: value for name, value in vars(there).items() if name not in without} == {
        name: value for name, value in vars(error).items() if name not in without
    }


class DoesNotTravel(Exception):
    def __reduce__(self) -> NoReturn:
        raise TypeError("holds a socket")


def arrives_broken() -> openai.InternalServerError:
    """Return an exception that can be pickled and not unpickled."""
    response = httpx.Response(500, request=httpx.Request("POST", "http://localhost"))
    return openai.InternalServerError("m", response=response, body=None)


@pytest.mark.parametrize("original", [DoesNotTravel(), arrives_broken()])
def test_pickle_leaves_behind_what_cannot_travel(original: Exception) -> None:
    there = pickle.loads(pickle.dumps(AzureCancellationError("m", original, attempt=2)))
    assert there.original_exception is None
    assert there.context == {"attempt": 2}


@pytest.mark.parametrize("original", [asyncio.CancelledError(), DoesNotTravel()])
def test_copy_shares_original_and_cause(original: BaseException) -> None:
    error = AzureCancellationError("m", original, attempt=2)
    error.__cause__ = original
    clone = copy.copy(error)
    assert clone is not error
    assert clone.original_exception is original
    assert clone.__cause__ is original
    assert clone.context == {"attempt": 2}


@pytest.mark.parametrize("error", ERRORS, ids=by_class)
def test_deep_copy_keeps_type_and_message(error: LiteLLMAsyncError) -> None:
    clone = copy.deepcopy(error)
    assert type(clone) is type(error)
    assert str(clone) == str(error)


# What LiteLLM makes of them.


def mapped(error: Exception, provider: str) -> Exception:
    with pytest.raises(Exception) as raised:  # which one it is is the question
        raise litellm.exception_type(
            model="m", original_exception=error, custom_llm_provider=provider
        )
    return raised.value


@pytest.mark.parametrize("provider", ["azure", "azure_text"])
def test_litellm_maps_azure_cancellation_to_its_internal_server_error(provider: str) -> None:
    error = AzureCancellationError.from_asyncio_exception(asyncio.CancelledError(), "acompletion")
    found = mapped(error, provider)
    assert isinstance(found, InternalServerError)
    assert isinstance(found, openai.InternalServerError)
    assert found.status_code == 500


def test_litellm_maps_azure_cancellation_of_another_message_to_status_500() -> None:
    found = mapped(AzureCancellationError("gone"), "azure")
    assert isinstance(found, openai.APIError)
    assert getattr(found, "status_code", None) == 500


@pytest.mark.parametrize("provider", ["azure", "openai", "mine"])
def test_litellm_maps_timeout_to_its_own(provider: str) -> None:
    found = mapped(AsyncTimeoutError(), provider)
    assert isinstance(found, Timeout)


class Cancelling(CustomLLM):
    """Fails as Azure does with an AzureCancellationError, as often as told, then answers."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.calls = 0

    async def acompletion(self, *_: Any, **kwargs: Any) -> ModelResponse:
        self.calls += 1
        if self.calls <= self.failures:
            raise mapped(AzureCancellationError(), "azure")
        answer: ModelResponse = kwargs["model_response"]
        answer.choices[0].message.content = kwargs["model"]
        return answer


def routed(monkeypatch: pytest.MonkeyPatch, *, retries: int, **handlers: CustomLLM) -> Router:
    registered = [{"provider": name, "custom_handler": llm} for name, llm in handlers.items()]
    monkeypatch.setattr(litellm, "custom_provider_map", registered)
    for known in ("provider_list", "_custom_providers"):
        monkeypatch.setattr(litellm, known, list(getattr(litellm, known)))
    # 1.72.2 does so at the first call, which is too late for a Router.
    custom_llm_setup()  # type: ignore[no-untyped-call]
    return Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": f"{name}/{name}-model"}}
            for name in handlers
        ],
        fallbacks=[{"first": ["second"]}] if "second" in handlers else [],
        num_retries=retries,
        retry_after=0,
    )


async def asked(router: Router) -> str | None:
    answer = await router.acompletion(
        model="first", messages=[{"role": "user", "content": "hello"}]
    )
    content: str | None = answer.choices[0].message.content
    return content


async def test_router_retries_an_azure_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Cancelling(failures=1)
    assert await asked(routed(monkeypatch, retries=2, first=first)) == "first-model"
    assert first.calls == 2


async def test_router_falls_back_on_an_azure_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    router = routed(monkeypatch, retries=0, first=Cancelling(9), second=Cancelling(0))
    assert await asked(router) == "second-model"
