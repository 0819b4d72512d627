"""BaseAsyncLLM as a custom provider of a real LiteLLM."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import litellm
import openai
import pytest
from litellm.exceptions import Timeout
from litellm.integrations.custom_logger import CustomLogger
from litellm.router import Router
from litellm.types.utils import GenericStreamingChunk, ModelResponse
from litellm.utils import custom_llm_setup

from litellm_cancel_otel._asyncio.cancels import cancelled_within
from litellm_cancel_otel.errors import (
    AsyncCancellationError,
    AsyncTimeoutError,
    LiteLLMAsyncError,
)
from litellm_cancel_otel.provider import BaseAsyncLLM

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


def chunk(text: str, *, last: bool = False) -> GenericStreamingChunk:
    return {
        "text": text,
        "is_finished": last,
        "finish_reason": "stop" if last else "",
        "index": 0,
        "tool_use": None,
        "usage": None,
    }


class Mine(BaseAsyncLLM):
    """Answers, waits for ever, or fails, as its model's name says."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.began = asyncio.Event()
        self.closed = asyncio.Event()
        self.stopped: BaseException | None = None

    async def _acompletion_impl(self, *_: Any, **call: Any) -> ModelResponse:
        answer: ModelResponse = call["model_response"]
        await self.act(call["model"])
        answer.choices[0].message.content = "answer"
        return answer

    async def _astreaming_impl(
        self, *_: Any, **call: Any
    ) -> AsyncGenerator[GenericStreamingChunk, None]:
        try:
            yield chunk("one ")
            await self.act(call["model"])
            yield chunk("two", last=True)
        finally:
            self.closed.set()

    async def act(self, model: str) -> None:
        self.began.set()
        future = asyncio.get_running_loop().create_future()
        try:
            if model == "internal":
                future.cancel()
            if model == "timeout":
                raise TimeoutError
            if model == "broken":
                raise ValueError("broken")
            if model != "answers":
                await future
        except BaseException as exc:
            self.stopped = exc
            raise


class NoStream(BaseAsyncLLM):
    """Does not stream."""

    async def _acompletion_impl(self, *_: Any, **call: Any) -> ModelResponse:
        answer: ModelResponse = call["model_response"]
        return answer


@pytest.fixture
async def mine(monkeypatch: pytest.MonkeyPatch) -> Mine:
    llm = Mine()
    register(monkeypatch, mine=llm, silent=NoStream("silent"))
    return llm


def register(monkeypatch: pytest.MonkeyPatch, **handlers: BaseAsyncLLM) -> None:
    registered = [{"provider": name, "custom_handler": llm} for name, llm in handlers.items()]
    monkeypatch.setattr(litellm, "custom_provider_map", registered)
    for known in ("provider_list", "_custom_providers"):
        monkeypatch.setattr(litellm, known, list(getattr(litellm, known)))
    custom_llm_setup()  # type: ignore[no-untyped-call]


async def ask(model: str) -> str | None:
    answer = await litellm.acompletion(model=model, messages=MESSAGES)
    content: str | None = answer.choices[0].message.content
    return content


async def ask_stream(model: str) -> str:
    stream = await litellm.acompletion(model=model, messages=MESSAGES, stream=True)
    return "".join([part.choices[0].delta.content or "" async for part in stream])


Asked = Callable[[str], Awaitable[str | None]]
both = pytest.mark.parametrize("asked", [ask, ask_stream])


async def stopped(work: Awaitable[object], began: asyncio.Event) -> BaseException:
    seen: list[BaseException] = []

    async def run() -> None:
        try:
            await work
        except BaseException as exc:
            seen.append(exc)

    task = asyncio.create_task(run())
    await began.wait()
    task.cancel()
    await task
    return seen[0]


def chain(exc: BaseException | None) -> list[BaseException]:
    found = []
    while exc is not None and exc not in found:
        found.append(exc)
        exc = exc.__cause__ or exc.__context__
    return found


def test_provider_must_bring_its_completion() -> None:
    with pytest.raises(TypeError, match="_acompletion_impl"):
        BaseAsyncLLM("mine")  # type: ignore[abstract]


async def test_completion_answers(mine: Mine) -> None:
    assert await ask("mine/answers") == "answer"


async def test_stream_answers(mine: Mine) -> None:
    assert await ask_stream("mine/answers") == "one two"


@both
async def test_callers_own_cancel_comes_out_of_litellm_as_the_same_object(
    mine: Mine, asked: Asked
) -> None:
    exc = await stopped(asked("mine/waits"), mine.began)
    assert isinstance(exc, asyncio.CancelledError)
    assert exc is mine.stopped


@both
async def test_deadline_around_it_expires(mine: Mine, asked: Asked) -> None:
    async def expire(deadline: asyncio.Timeout) -> None:
        await mine.began.wait()
        deadline.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            expiring = asyncio.create_task(expire(deadline))
            await asked("mine/waits")
    await expiring
    assert isinstance(mine.stopped, asyncio.CancelledError)


@both
async def test_internal_cancel_is_a_litellm_error_chained_to_it(mine: Mine, asked: Asked) -> None:
    with pytest.raises(openai.APIError) as raised:
        await asked("mine/internal")
    assert getattr(raised.value, "status_code", None) == 500
    ours = [exc for exc in chain(raised.value) if isinstance(exc, AsyncCancellationError)]
    assert [exc.cancellation_type for exc in ours] == ["mine_internal"]
    assert cancelled_within(raised.value) is mine.stopped


async def test_timeout_inside_is_litellms_timeout(mine: Mine) -> None:
    with pytest.raises(Timeout):
        await ask("mine/timeout")


async def test_other_error_comes_out_as_it_is() -> None:
    with pytest.raises(ValueError, match="broken"):
        await Mine().safe_acompletion(model="broken", model_response=ModelResponse())


async def test_closed_stream_closes_the_providers(mine: Mine) -> None:
    stream = mine.astreaming(model="waits")
    await anext(stream)
    await stream.aclose()
    assert mine.closed.is_set()


async def test_provider_can_make_its_own_error() -> None:
    class Own(Exception):
        pass

    seen: list[LiteLLMAsyncError] = []

    class Particular(Mine):
        def create_provider_error(self, error: LiteLLMAsyncError) -> Exception:
            seen.append(error)
            return Own("particular")

    with pytest.raises(Own) as raised:
        await Particular().safe_acompletion(model="timeout", model_response=ModelResponse())
    assert type(raised.value.__cause__) is TimeoutError
    assert [type(error) for error in seen] == [AsyncTimeoutError]


async def test_cancel_is_told_to_litellms_log(mine: Mine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(CustomLogger):
        def log_post_api_call(self, kwargs: dict[str, Any], *_: object, **__: object) -> None:
            noted.append(kwargs["additional_args"])

    noted: list[dict[str, object]] = []
    monkeypatch.setattr(litellm, "input_callback", [Noting()])
    with pytest.raises(openai.APIError):
        await ask("mine/internal")
    [details] = noted
    assert details == {
        "cancellation_type": "mine_internal",
        "operation": "acompletion",
        "provider": "mine",
    }


async def test_router_retries_an_internal_cancel(mine: Mine) -> None:
    router = Router(
        model_list=[{"model_name": "any", "litellm_params": {"model": "mine/internal"}}],
        num_retries=1,
        retry_after=0,
    )
    calls = 0

    async def act(model: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await Mine.act(mine, model)

    mine.act = act  # type: ignore[method-assign]
    await router.acompletion(model="any", messages=MESSAGES)
    assert calls == 2


async def test_provider_that_does_not_stream_says_so(mine: Mine) -> None:
    with pytest.raises(openai.APIError, match="Not implemented yet"):
        await ask_stream("silent/any")
