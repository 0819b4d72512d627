"""The handler, the context manager and the decorator, under asyncio's and anyio's real cancels."""

import asyncio
import contextlib
import copy
import gc
import inspect
import traceback
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import FrozenInstanceError
from typing import Any

import anyio
import pytest
from litellm.llms.azure.common_utils import AzureOpenAIError
from litellm.llms.custom_llm import CustomLLMError

from litellm_cancel_otel.errors import (
    AsyncCancellationError,
    AsyncTimeoutError,
    AzureCancellationError,
    LiteLLMAsyncError,
)
from litellm_cancel_otel.handling import (
    AsyncErrorContext,
    AsyncioErrorHandler,
    asyncio_error_context,
    handle_asyncio_errors,
)
from support.cancels import leave_stale_count

handle = AsyncioErrorHandler.handle_asyncio_exception
Call = Callable[[], Coroutine[Any, Any, object]]


async def internally() -> None:
    """Await what somebody else cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


class Waiting:
    """Waits for ever; knows when it began to, and with what it was stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.stopped: BaseException | None = None

    async def __call__(self) -> None:
        self.began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except BaseException as exc:
            self.stopped = exc
            raise


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


async def stop(work: Call, began: asyncio.Event) -> BaseException:
    """Cancel a task in its work; return what came out of the work itself."""
    seen: list[BaseException] = []

    async def run() -> None:
        try:
            await work()
        except BaseException as exc:
            seen.append(exc)

    task = asyncio.create_task(run())
    await began.wait()
    task.cancel()
    await task
    return seen[0]


async def in_context(work: Call, provider: str = "azure", log: object = None) -> object:
    async with asyncio_error_context(provider, "acompletion", log):
        return await work()


class Log:
    """LiteLLM's logging object, as far as the handler knows it."""

    def __init__(self) -> None:
        self.model_call_details = {"input": "what pre_call noted"}
        self.calls: list[dict[str, Any]] = []

    def post_call(self, **call: Any) -> None:
        self.calls.append(call)


# The context.


def test_context_is_frozen() -> None:
    context = AsyncErrorContext("azure", "acompletion")
    with pytest.raises(FrozenInstanceError):
        context.provider = "openai"  # type: ignore[misc]


def test_context_outside_a_task_counts_from_zero() -> None:
    assert AsyncErrorContext("azure", "acompletion").since == 0


async def test_context_notes_the_count_at_its_creation() -> None:
    await leave_stale_count()
    assert AsyncErrorContext("azure", "acompletion").since == 1


# Whose cancel it was.


async def test_no_user_cancellation_in_a_task_left_alone() -> None:
    assert not AsyncioErrorHandler.is_user_cancellation()


async def test_user_cancellation_in_a_cancelled_task(waiting: Waiting) -> None:
    async def work() -> bool:
        try:
            await waiting()
        except asyncio.CancelledError:
            return AsyncioErrorHandler.is_user_cancellation()
        return False

    task = asyncio.create_task(work())
    await waiting.began.wait()
    task.cancel()
    assert await task


async def test_stale_count_is_no_user_cancellation() -> None:
    await leave_stale_count()
    assert not AsyncioErrorHandler.is_user_cancellation(since=1)


# What the caller gets.


async def test_callers_own_cancel_comes_out_as_the_same_object(waiting: Waiting) -> None:
    assert await stop(lambda: in_context(waiting), waiting.began) is waiting.stopped


async def test_internal_cancel_on_azure_is_azures_error() -> None:
    with pytest.raises(AzureCancellationError):
        await in_context(internally)


async def test_internal_cancel_elsewhere_names_its_provider() -> None:
    with pytest.raises(AsyncCancellationError) as raised:
        await in_context(internally, "bedrock")
    assert raised.value.cancellation_type == "bedrock_internal"
    assert not isinstance(raised.value, AzureOpenAIError)


async def test_stale_count_does_not_make_an_internal_cancel_the_callers() -> None:
    await leave_stale_count()
    with pytest.raises(AzureCancellationError):
        await in_context(internally)


async def test_cancel_of_an_inner_task_is_internal(waiting: Waiting) -> None:
    async def inner() -> None:
        task = asyncio.create_task(waiting())
        await waiting.began.wait()
        task.cancel()
        await task

    with pytest.raises(AzureCancellationError):
        await in_context(inner)


async def test_converted_cancel_keeps_its_cause_and_traceback() -> None:
    with pytest.raises(AzureCancellationError) as raised:
        await in_context(internally)
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert raised.value.original_exception is raised.value.__cause__
    assert "in internally" in "".join(traceback.format_exception(raised.value))


async def test_timeout_inside_is_an_async_timeout_error() -> None:
    async def work() -> None:
        async with asyncio.timeout(0):
            await asyncio.get_running_loop().create_future()

    with pytest.raises(AsyncTimeoutError) as raised:
        await in_context(work)
    assert type(raised.value.__cause__) is TimeoutError


def test_timeout_names_its_source() -> None:
    context = AsyncErrorContext("openai", "acompletion", timeout_source="connect, 5 s")
    with pytest.raises(AsyncTimeoutError, match="connect, 5 s") as raised:
        handle(TimeoutError(), context)
    assert raised.value.timeout_source == "connect, 5 s"


@pytest.mark.parametrize(
    "exc", [ValueError("v"), AsyncTimeoutError(), AzureCancellationError(), KeyboardInterrupt()]
)
def test_any_other_exception_comes_out_as_the_same_object(exc: BaseException) -> None:
    with pytest.raises(type(exc)) as raised:
        handle(exc, AsyncErrorContext("azure", "acompletion"))
    assert raised.value is exc


async def test_callers_own_cancel_is_converted_only_if_asked_for(waiting: Waiting) -> None:
    async def work() -> None:
        context = AsyncErrorContext("azure", "acompletion", allow_user_cancellation=False)
        try:
            await waiting()
        except asyncio.CancelledError as exc:
            handle(exc, context)

    error = await stop(work, waiting.began)
    assert isinstance(error, AsyncCancellationError)
    assert (error.cancellation_type, error.status_code) == ("external", 499)
    assert error.__cause__ is waiting.stopped


async def test_nested_contexts_convert_once() -> None:
    with pytest.raises(AzureCancellationError) as raised:
        await in_context(lambda: in_context(internally))
    assert type(raised.value.__cause__) is asyncio.CancelledError


async def test_context_manager_counts_from_its_entry() -> None:
    context = asyncio_error_context("azure", "acompletion")
    await leave_stale_count()
    with pytest.raises(AzureCancellationError):
        async with context:
            await internally()


async def test_context_manager_gives_the_context() -> None:
    await leave_stale_count()
    async with asyncio_error_context("azure", "acompletion") as context:
        assert isinstance(context, AsyncErrorContext)
        assert (context.provider, context.operation) == ("azure", "acompletion")
        assert context.since == 1


@pytest.mark.parametrize("way", ["context", "decorator", "handler"])
async def test_cancel_asked_for_and_not_yet_delivered_is_the_callers(way: str) -> None:
    work = asyncio.get_running_loop().create_future

    async def waits() -> None:
        await work()

    decorated = handle_asyncio_errors("azure", AzureOpenAIError)(waits)
    ways = {
        "context": lambda: in_context(waits),
        "decorator": decorated,
        "handler": lambda: by_handler(waits),
    }
    thrown: list[BaseException] = []

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("jane pressed stop")
        try:
            await ways[way]()
        except BaseException as exc:
            thrown.append(exc)
            raise

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=5)

    assert task.cancelled()
    (cancel,) = thrown
    assert type(cancel) is asyncio.CancelledError
    assert cancel.args == ("jane pressed stop",)


class Held:
    """Something that a call holds on to."""


async def by_handler(work: Call) -> None:
    context = AsyncErrorContext("azure", "acompletion")
    try:
        await work()
    except BaseException as exc:
        handle(exc, context)


async def by_decorator(work: Call) -> None:
    await as_coroutine(work)()


async def by_stream(work: Call) -> None:
    await as_stream(work)()


async def broken() -> None:
    raise ValueError


@pytest.mark.parametrize("fault", [internally, broken])
@pytest.mark.parametrize("way", [in_context, by_handler, by_decorator, by_stream])
async def test_nothing_is_left_for_the_garbage_collector(
    way: Callable[[Call], Awaitable[object]], fault: Call
) -> None:
    held: weakref.ref[Held] | None = None

    async def work() -> None:
        nonlocal held
        it = Held()
        held = weakref.ref(it)
        await fault()

    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(AzureOpenAIError, ValueError):
            await way(work)
        assert held is not None
        assert held() is None
    finally:
        gc.enable()


# LiteLLM's log.


async def test_cancel_is_logged_with_its_type_and_nothing_of_ours() -> None:
    log = Log()
    context = AsyncErrorContext("azure", "acompletion")
    with pytest.raises(AzureCancellationError):
        handle(asyncio.CancelledError("why"), context, log, attempt=2)
    assert log.calls == [
        {
            "input": "what pre_call noted",
            "api_key": "",
            "original_response": "why",
            "additional_args": {
                "attempt": 2,
                "cancellation_type": "azure_internal",
                "operation": "acompletion",
                "provider": "azure",
            },
        }
    ]


async def test_callers_own_cancel_is_logged_as_external(waiting: Waiting) -> None:
    log = Log()
    await stop(lambda: in_context(waiting, log=log), waiting.began)
    [call] = log.calls
    assert call["additional_args"]["cancellation_type"] == "external"


def test_timeout_is_logged_with_its_source_and_as_no_cancel() -> None:
    log = Log()
    context = AsyncErrorContext("azure", "acompletion", timeout_source="connect")
    timeout = TimeoutError()
    timeout.__cause__ = asyncio.CancelledError()  # as asyncio.timeout raises it
    with pytest.raises(AsyncTimeoutError):
        handle(timeout, context, log)
    [call] = log.calls
    assert call["additional_args"]["timeout_source"] == "connect"
    assert call["additional_args"]["cancellation_type"] is None


def test_cancel_hidden_in_another_exception_is_logged() -> None:
    log = Log()
    hiding = ConnectionError()
    hiding.__cause__ = asyncio.CancelledError()
    with pytest.raises(ConnectionError):
        handle(hiding, AsyncErrorContext("azure", "acompletion"), log)
    [call] = log.calls
    assert call["additional_args"]["cancellation_type"] == "azure_internal"


def test_other_exception_is_left_to_litellm_to_log() -> None:
    log = Log()
    with pytest.raises(ValueError, match="v"):
        handle(ValueError("v"), AsyncErrorContext("azure", "acompletion"), log)
    assert log.calls == []


def test_input_of_the_callers_is_litellms_input() -> None:
    log = Log()
    with pytest.raises(AsyncTimeoutError):
        handle(TimeoutError(), AsyncErrorContext("azure", "acompletion"), log, input="mine")
    [call] = log.calls
    assert call["input"] == "mine"
    assert "input" not in call["additional_args"]


@pytest.mark.parametrize("fault", [RuntimeError("log"), asyncio.CancelledError("log")])
def test_fault_of_the_log_does_not_show(fault: BaseException) -> None:
    class Faulty(Log):
        def post_call(self, **call: object) -> None:
            raise fault

    with pytest.raises(AsyncTimeoutError):
        handle(TimeoutError(), AsyncErrorContext("azure", "acompletion"), Faulty())


# Real scopes around decorated functions.

decorate = handle_asyncio_errors("azure", AzureOpenAIError)


def as_coroutine(work: Call) -> Call:
    @decorate
    async def call() -> object:
        return await work()

    return call


def as_generator(work: Call) -> Callable[[], AsyncGenerator[int, None]]:
    @decorate
    async def stream() -> AsyncGenerator[int, None]:
        yield 1
        await work()
        yield 2

    return stream


def as_stream(work: Call) -> Call:
    async def consume() -> list[int]:
        async with aclosing(as_generator(work)()) as chunks:
            return [chunk async for chunk in chunks]

    return consume


both = pytest.mark.parametrize("decorated", [as_coroutine, as_stream])
Decorated = Callable[[Call], Call]


@both
async def test_asyncio_timeout_around_it_expires(decorated: Decorated, waiting: Waiting) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await decorated(waiting)()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@both
async def test_wait_for_around_it_expires(decorated: Decorated, waiting: Waiting) -> None:
    with pytest.raises(TimeoutError) as raised:
        await asyncio.wait_for(decorated(waiting)(), 0.001)
    assert not isinstance(raised.value, LiteLLMAsyncError)


@both
async def test_task_group_ends_with_the_siblings_error(
    decorated: Decorated, waiting: Waiting
) -> None:
    async def fail() -> None:
        await waiting.began.wait()
        raise ValueError("sibling")

    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.TaskGroup() as group:
            group.create_task(decorated(waiting)())
            group.create_task(fail())
    assert [type(exc) for exc in raised.value.exceptions] == [ValueError]


@both
async def test_anyio_scope_around_it_is_cancelled(decorated: Decorated, waiting: Waiting) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await decorated(waiting)()
    assert scope.cancelled_caught


@both
async def test_anyio_deadline_around_it_expires(decorated: Decorated, waiting: Waiting) -> None:
    with pytest.raises(TimeoutError) as raised:
        with anyio.fail_after(0.001):
            await decorated(waiting)()
    assert not isinstance(raised.value, LiteLLMAsyncError)


@both
async def test_callers_own_cancel_passes_as_the_same_object(
    decorated: Decorated, waiting: Waiting
) -> None:
    assert await stop(decorated(waiting), waiting.began) is waiting.stopped


@both
async def test_internal_cancel_becomes_the_error_class(decorated: Decorated) -> None:
    with pytest.raises(AzureOpenAIError) as raised:
        await decorated(internally)()
    assert raised.value.status_code == 500
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)


@both
async def test_stale_count_is_no_evidence(decorated: Decorated) -> None:
    await leave_stale_count()
    with pytest.raises(AzureOpenAIError):
        await decorated(internally)()


@both
async def test_timeout_inside_passes_as_the_same_object(decorated: Decorated) -> None:
    exc = TimeoutError()

    async def work() -> None:
        raise exc

    with pytest.raises(TimeoutError) as raised:
        await decorated(work)()
    assert raised.value is exc


# The decorator's choices.


async def test_timeout_can_become_the_error_class() -> None:
    @handle_asyncio_errors("azure", AzureOpenAIError, preserve_timeout=False)
    async def call() -> None:
        raise TimeoutError

    with pytest.raises(AzureOpenAIError) as raised:
        await call()
    assert raised.value.status_code == 408


async def test_callers_own_cancel_can_become_the_error_class(waiting: Waiting) -> None:
    call = handle_asyncio_errors("azure", AzureOpenAIError, preserve_cancellation=False)
    error = await stop(call(waiting.__call__), waiting.began)
    assert isinstance(error, AzureOpenAIError)
    assert error.status_code == 499


class OfMessageAlone(Exception):
    """Takes what every exception takes."""


@pytest.mark.parametrize(
    "error_class",
    [AzureOpenAIError, CustomLLMError, AsyncCancellationError, AzureCancellationError,
     LiteLLMAsyncError, AsyncTimeoutError, OfMessageAlone, RuntimeError],
)  # fmt: skip
async def test_any_error_class_will_do(error_class: type[Exception]) -> None:
    call = handle_asyncio_errors("openai", error_class)(internally)
    with pytest.raises(error_class, match="openai internally") as raised:
        await call()
    assert getattr(raised.value, "status_code", 500) == 500


async def test_error_class_of_ours_keeps_whose_cancel_it_was(waiting: Waiting) -> None:
    class Mine(AsyncCancellationError):
        pass

    call = handle_asyncio_errors("openai", Mine, preserve_cancellation=False)(waiting.__call__)
    error = await stop(call, waiting.began)
    assert isinstance(error, Mine)
    assert (error.cancellation_type, error.provider) == ("external", "openai")


def test_plain_function_cannot_be_decorated() -> None:
    with pytest.raises(TypeError, match="not a coroutine function"):
        decorate(len)


def test_decorated_coroutine_function_still_is_one() -> None:
    @decorate
    async def call(model: str) -> None:
        """Do it."""

    assert inspect.iscoroutinefunction(call)
    assert (call.__name__, call.__doc__) == ("call", "Do it.")
    assert list(inspect.signature(call).parameters) == ["model"]


def test_decorated_generator_function_still_is_one() -> None:
    @decorate
    async def stream(model: str) -> AsyncGenerator[None, None]:
        """Stream it."""
        yield

    assert inspect.isasyncgenfunction(stream)
    assert (stream.__name__, stream.__doc__) == ("stream", "Stream it.")


# The decorated async generator.


@decorate
async def echo(ending: list[str]) -> AsyncGenerator[object, object]:
    """Yield what is sent or thrown in; say how it ended."""
    got: object = "first"
    try:
        while got != "enough":
            try:
                got = yield got
            except ValueError as exc:
                got = exc
        ending.append("ran out")
    except GeneratorExit:
        await asyncio.sleep(0)
        ending.append("closed")
        raise


async def test_what_is_sent_reaches_the_generator() -> None:
    stream = echo([])
    assert await anext(stream) == "first"
    assert await stream.asend("second") == "second"


async def test_what_is_thrown_reaches_the_generator() -> None:
    stream = echo([])
    await anext(stream)
    exc = ValueError()
    assert await stream.athrow(exc) is exc


async def test_generator_runs_to_its_end() -> None:
    ending: list[str] = []
    stream = echo(ending)
    await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await stream.asend("enough")
    assert ending == ["ran out"]


async def test_close_reaches_the_generator() -> None:
    ending: list[str] = []
    stream = echo(ending)
    await anext(stream)
    await stream.aclose()
    assert ending == ["closed"]


async def test_close_before_the_first_chunk_is_quiet() -> None:
    ending: list[str] = []
    await echo(ending).aclose()
    assert ending == []


async def test_close_that_the_generator_ignores_is_an_error() -> None:
    @decorate
    async def stubborn() -> AsyncGenerator[None, None]:
        try:
            yield
        except GeneratorExit:
            yield

    stream = stubborn()
    await anext(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        await stream.aclose()


async def test_internal_cancel_while_it_closes_becomes_the_error_class() -> None:
    @decorate
    async def stream() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await internally()

    chunks = stream()
    await anext(chunks)
    with pytest.raises(AzureOpenAIError):
        await chunks.aclose()


async def test_cancel_that_the_consumer_threw_in_comes_back_as_it_is() -> None:
    stream = echo([])
    await anext(stream)
    exc = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError) as raised:
        await stream.athrow(exc)
    assert raised.value is exc


class Thrown(ValueError):
    """Can be referred to weakly."""


async def test_what_came_back_is_not_left_for_the_garbage_collector() -> None:
    async def throw() -> weakref.ref[Thrown]:
        stream = as_generator(broken)()
        await anext(stream)
        exc = Thrown()
        held = weakref.ref(exc)
        try:
            with contextlib.suppress(Thrown):
                await stream.athrow(exc)
        finally:
            del exc
        return held

    gc.collect()
    gc.disable()
    try:
        assert (await throw())() is None
    finally:
        gc.enable()


async def test_what_the_generator_swallowed_is_let_go() -> None:
    stream = echo([])
    await anext(stream)
    held = weakref.ref(await stream.athrow(Thrown()))
    await stream.asend("second")
    gc.collect()
    assert held() is None


async def test_decorated_generator_can_be_a_context_manager() -> None:
    @asynccontextmanager
    @decorate
    async def session() -> AsyncGenerator[None, None]:
        yield

    with pytest.raises(KeyError, match="body"):
        async with session():
            raise KeyError("body")


async def test_generator_taken_over_by_another_task_counts_that_tasks_cancels() -> None:
    @decorate
    async def stream() -> AsyncGenerator[None, None]:
        yield
        await internally()

    chunks = stream()
    await anext(chunks)

    async def take_over() -> None:
        await leave_stale_count()
        with pytest.raises(AzureOpenAIError):
            await anext(chunks)

    await asyncio.create_task(take_over())


async def test_cancel_between_chunks_counts_from_the_drivers_first() -> None:
    @decorate
    async def stream() -> AsyncGenerator[None, None]:
        yield
        await asyncio.get_running_loop().create_future()

    async def consume() -> None:
        chunks = stream()
        await anext(chunks)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anext(chunks)

    task = asyncio.create_task(consume())
    await asyncio.wait([task])
    assert task.cancelled()


async def test_generator_that_began_with_a_count_which_was_taken_back_since() -> None:
    """What is counted from sinks with it: else the next cancel, the caller's own, is none."""

    @decorate
    async def stream() -> AsyncGenerator[None, None]:
        yield
        yield
        await asyncio.get_running_loop().create_future()

    async def consume() -> None:
        chunks = stream()
        task = asyncio.current_task()
        assert task is not None
        await leave_stale_count()
        await anext(chunks)
        task.uncancel()
        await anext(chunks)
        task.cancel()
        await anext(chunks)

    task = asyncio.create_task(consume())
    await asyncio.wait([task])
    assert task.cancelled()


async def test_dropped_generator_is_closed_by_the_loop() -> None:
    ending: list[str] = []
    closed = asyncio.Event()

    @decorate
    async def stream() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            ending.append("closed")
            closed.set()

    chunks = stream()
    await anext(chunks)
    del chunks
    gc.collect()
    await closed.wait()
    assert ending == ["closed"]


def test_copied_context_is_equal() -> None:
    context = AsyncErrorContext("azure", "acompletion", since=3)
    assert copy.copy(context) == context
