"""What an application means to go on with is told as before, and left alone by the guard."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import Context
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.responses import Response

from disconnect.asgi import App, Receive, Scope, Send, Served, piece, start
from litellm_cancel_otel import CancellationMiddleware, unguarded
from litellm_cancel_otel._calls import unguarded as unguarded_module
from litellm_cancel_otel._calls.request import REQUEST, Request
from litellm_cancel_otel._calls.unguarded import UNGUARDED
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import Exchange, FakeProvider, Script
from support.calling import chat, silent, text_of
from support.hosts import held
from support.telemetry import Telemetry

pytestmark = [pytest.mark.every_loop, pytest.mark.settings(disconnect_grace=0.0)]

GO_ON = {"litellm_cancel_guard": False}


def closed_by_guard(telemetry: Telemetry) -> list[str]:
    """Return what the guard did, but for having the loop run where a stream kept it waiting."""
    done = [said[sc.ACTION] for said, _ in telemetry.points(sc.GUARD_ACTIONS)]
    return [action for action in done if action != "checkpoint"]


class Answer:
    """Reads an answer on behalf of a request, and saves it when it is whole."""

    def __init__(self, provider: FakeProvider, **more: Any) -> None:
        self._provider = provider
        self._more = more
        self.saved: str | None = None
        self.unwound: list[str] = []

    async def send(self, send: Send) -> None:
        """Pass the answer on, as the body of a response that has begun."""
        await self.pass_on(await self.ask(), send)

    async def ask(self) -> Any:
        """Open the stream."""
        return await chat(self._provider, "openai", stream=True, **self._more)

    async def pass_on(self, stream: Any, send: Send) -> None:
        """Send what the stream gives, and save it."""
        pieces: list[str] = []
        try:
            async for chunk in stream:
                pieces.append(text_of(chunk))
                await send(piece(pieces[-1].encode(), more=True))
        except BaseException as exc:
            self.unwound.append(type(exc).__name__)
            raise
        self.saved = "".join(pieces)
        await send(piece())

    def within(self, block: Callable[[], Any]) -> App:
        """Return a bare application that answers within a block."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(start())
            with block():
                await self.send(send)

        return app

    def response(self) -> Response:
        """Return a response of the application's own, which its endpoint's task sends."""
        answer = self

        class Own(Response):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await send(start())
                await answer.send(send)

        return Own()


async def left(app: App, provider: FakeProvider) -> tuple[Served, Exchange]:
    """Serve a request whose client leaves while the provider is silent."""
    provider.script = Script(hang_at=2)
    served = Served(CancellationMiddleware(app))
    exchange = await silent(provider)
    await served.has_sent(3)
    served.leave()
    return served, exchange


async def the_guard_has_passed() -> None:
    """Let the guard's timers, which are due at once here, have their turns."""
    for _ in range(5):
        await asyncio.sleep(0.02)


async def assert_goes_on(
    app: App, answer: Answer, telemetry: Telemetry, provider: FakeProvider
) -> None:
    served, exchange = await left(app, provider)
    await the_guard_has_passed()
    assert exchange.hanging
    exchange.release()

    assert await served.ended() is None
    assert answer.saved == provider.script.text
    assert answer.unwound == []
    assert telemetry.outcomes() == {"completed": 1}
    assert closed_by_guard(telemetry) == []


async def assert_is_stopped(app: App, answer: Answer, provider: FakeProvider) -> None:
    served, exchange = await left(app, provider)

    await exchange.wait_closed()
    await served.ended()
    assert answer.unwound == ["CancelledError"]
    assert answer.saved is None


@pytest.mark.usefixtures("telemetry")
async def test_without_a_word_it_is_stopped(provider: FakeProvider) -> None:
    answer = Answer(provider)
    await assert_is_stopped(answer.within(nullcontext), answer, provider)


async def test_block(telemetry: Telemetry, provider: FakeProvider) -> None:
    answer = Answer(provider)
    await assert_goes_on(answer.within(unguarded), answer, telemetry, provider)


async def test_asynchronous_block(telemetry: Telemetry, provider: FakeProvider) -> None:
    answer = Answer(provider)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with unguarded():
            await answer.within(nullcontext)(scope, receive, send)

    await assert_goes_on(app, answer, telemetry, provider)


async def test_inner_block_does_not_end_the_outer_one(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    answer = Answer(provider)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with unguarded():
            with unguarded():
                pass
            assert UNGUARDED.get() == 1
            await answer.within(nullcontext)(scope, receive, send)
        assert UNGUARDED.get() == 0

    await assert_goes_on(app, answer, telemetry, provider)


async def test_block_in_which_an_older_call_is_read(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    """The call is not left alone by itself: the request is, for as long as it is in the block."""
    answer = Answer(provider)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        stream = await answer.ask()
        with unguarded():
            await answer.pass_on(stream, send)

    await assert_goes_on(app, answer, telemetry, provider)


@pytest.mark.usefixtures("telemetry")
async def test_block_that_is_over_says_nothing(provider: FakeProvider) -> None:
    answer = Answer(provider)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with unguarded():
            pass
        await answer.within(nullcontext)(scope, receive, send)

    await assert_is_stopped(app, answer, provider)


async def test_metadata_of_one_call(telemetry: Telemetry, provider: FakeProvider) -> None:
    answer = Answer(provider, metadata=GO_ON)
    await assert_goes_on(answer.within(nullcontext), answer, telemetry, provider)


@pytest.mark.parametrize("first", [True, False], ids=["opened_first", "opened_last"])
async def test_metadata_of_the_one_of_two_calls_that_is_read(
    telemetry: Telemetry, provider: FakeProvider, first: bool
) -> None:
    """The other one would let the request be stopped, if that waited for it."""
    answer = Answer(provider, metadata=GO_ON)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        if first:
            stream = await answer.ask()
        others.append(await chat(provider, "anthropic", stream=True))
        if not first:
            stream = await answer.ask()
        await answer.pass_on(stream, send)

    others: list[Any] = []
    provider.script = Script(hang_at=2)
    served = Served(CancellationMiddleware(app))
    hanging = [await silent(provider), await silent(provider)]
    await served.has_sent(3)
    served.leave()
    await the_guard_has_passed()
    assert all(exchange.hanging for exchange in hanging)
    for exchange in hanging:
        exchange.release()

    assert await served.ended() is None
    assert answer.saved == provider.script.text
    assert answer.unwound == []
    await others[0].aclose()


async def test_metadata_of_a_call_whose_request_waits_for_its_client(
    telemetry: Telemetry, provider: FakeProvider
) -> None:
    """It is the request's only call: there is none for whose sake it is to be stopped."""
    answer = Answer(provider, metadata=GO_ON)

    taken = asyncio.Event()
    app = CancellationMiddleware(answer.within(nullcontext))
    served = Served(held(app, taken))
    await served.has_sent(2)
    served.leave()
    await the_guard_has_passed()
    taken.set()

    assert await served.ended() is None
    assert answer.saved == provider.script.text
    assert answer.unwound == []
    assert closed_by_guard(telemetry) == []


@pytest.mark.usefixtures("telemetry")
@pytest.mark.parametrize("metadata", [{}, {"litellm_cancel_guard": True}])
async def test_metadata_that_says_nothing_of_it(
    provider: FakeProvider, metadata: dict[str, Any]
) -> None:
    answer = Answer(provider, metadata=metadata)
    await assert_is_stopped(answer.within(nullcontext), answer, provider)


async def test_dependency(telemetry: Telemetry, provider: FakeProvider) -> None:
    answer = Answer(provider)
    app = FastAPI()

    @app.get("/", dependencies=[Depends(unguarded())])
    async def endpoint() -> Response:
        return answer.response()

    await assert_goes_on(app, answer, telemetry, provider)


@pytest.mark.usefixtures("telemetry")
async def test_endpoint_without_the_dependency(provider: FakeProvider) -> None:
    answer = Answer(provider)
    app = FastAPI()

    @app.get("/other", dependencies=[Depends(unguarded())])
    async def other() -> None:
        pass

    @app.get("/")
    async def endpoint() -> Response:
        return answer.response()

    await assert_is_stopped(app, answer, provider)


class Failure(Exception):
    """The driver's own."""


@pytest.mark.settings(orphan_grace=0.005)
@pytest.mark.parametrize("by", ["block", "metadata", "nothing"])
async def test_orphan(telemetry: Telemetry, provider: FakeProvider, by: str) -> None:
    async def drive() -> None:
        await anext(stream)
        raise Failure

    provider.script = Script(hang_at=2)
    more = {"metadata": GO_ON} if by == "metadata" else {}
    with unguarded() if by == "block" else nullcontext():
        stream = await chat(provider, "openai", stream=True, **more)
    exchange = await silent(provider)
    driver = asyncio.create_task(drive())
    await asyncio.wait([driver])
    assert isinstance(driver.exception(), Failure)

    if by == "nothing":
        await exchange.wait_closed()
        return
    await the_guard_has_passed()
    assert exchange.hanging
    exchange.release()
    assert [chunk async for chunk in stream]
    assert telemetry.outcomes() == {"completed": 1}
    assert closed_by_guard(telemetry) == []


def in_request(context: Context) -> Request:
    """Have a context be of a request, as the middleware does."""
    request = context.run(Request, None, lambda: 0.0)
    context.run(REQUEST.set, request)
    return request


def block(says: unguarded) -> Iterator[None]:
    with says:
        yield


def test_block_that_the_collector_leaves() -> None:
    """It does so in the context of another request, which is in such a block as well."""
    left, running = Context(), Context()
    requests = in_request(left), in_request(running)
    abandoned, goes_on = block(unguarded()), block(unguarded())
    left.run(next, abandoned)
    running.run(next, goes_on)

    running.run(abandoned.close)

    assert [request.unguarded for request in requests] == [0, 1]
    assert running.run(UNGUARDED.get) == 1
    running.run(goes_on.close)
    assert [request.unguarded for request in requests] == [0, 0]
    assert running.run(UNGUARDED.get) == 0


def test_object_that_tasks_share() -> None:
    """Each leaves its own block, in whatever order."""
    shared = unguarded()
    first, second = Context(), Context()
    requests = in_request(first), in_request(second)
    blocks = block(shared), block(shared)
    first.run(next, blocks[0])
    second.run(next, blocks[1])

    first.run(blocks[0].close)

    assert [request.unguarded for request in requests] == [0, 1]
    assert [one.run(UNGUARDED.get) for one in (first, second)] == [0, 1]
    second.run(blocks[1].close)
    assert [request.unguarded for request in requests] == [0, 0]
    assert second.run(UNGUARDED.get) == 0


def test_object_that_threads_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """One leaves its block in the midst of another's leaving."""
    shared = unguarded()
    first, second = Context(), Context()
    requests = in_request(first), in_request(second)
    blocks = [block(shared), block(shared)]
    first.run(next, blocks[0])
    second.run(next, blocks[1])
    put_back = unguarded_module.put_back

    def in_between(variable: Any, token: Any) -> bool:
        was_put_back = put_back(variable, token)
        monkeypatch.undo()
        first.run(blocks[0].close)
        return was_put_back

    monkeypatch.setattr(unguarded_module, "put_back", in_between)
    second.run(blocks[1].close)

    assert [request.unguarded for request in requests] == [0, 0]
    assert [one.run(UNGUARDED.get) for one in (first, second)] == [0, 0]
