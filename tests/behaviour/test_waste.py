"""What came for nobody after the disconnect: chunks; tokens and money where LiteLLM knows them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from disconnect.asgi import Receive, Send, Served, piece, start
from litellm_cancel_otel import CancellationMiddleware
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._calls.request import REQUEST
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.records import CallFacts, Exit, Signal
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs
from litellm_cancel_otel._seams import facts
from litellm_cancel_otel._seams.facts import logged_usage
from support.calling import MESSAGES, chat, silent
from support.telemetry import LITELLM, Telemetry

FACTS = CallFacts("chat", "openai", "gpt-4o-mini", stream=True, call_id="a-call")
COUNTS = not (1, 104) <= LITELLM < (1, 109)
"""Whether LiteLLM counts the tokens of a stream where the provider does not say them."""
PRICE = litellm.model_cost["gpt-4o-mini"]["output_cost_per_token"]


class Logged(CustomLogger):
    """Says when LiteLLM has logged a call, to every callback before it too."""

    def __init__(self) -> None:
        super().__init__()
        self.event = asyncio.Event()

    async def async_log_success_event(self, **_: Any) -> None:
        self.event.set()


def ended(
    telemetry: Telemetry, exit_: Exit, known: CallFacts = FACTS, price: float | None = PRICE
) -> None:
    """End a call of four chunks, whose client left after the third."""
    call = telemetry.tracker.begin(Known(known, price))
    call.opens()
    for _ in range(3):
        call.progress.got_chunk(call.clock())
    call.disconnected(Signal.ASGI_RECEIVE, call.clock())
    call.progress.got_chunk(call.clock())
    call.end(exit_)


def counted(telemetry: Telemetry, metric: sc.Metric) -> dict[str, Any]:
    """Return a counter of one provider and model by outcome."""
    points = telemetry.points(metric)
    assert all(point[sc.REQUEST_MODEL] == "gpt-4o-mini" for point, _ in points)
    return {point[sc.OUTCOME]: value for point, value in points}


async def answered_to_nobody(
    telemetry: Telemetry, provider: FakeProvider, ask: Callable[[], Awaitable[Any]]
) -> None:
    """Make a call of 20 tokens for a client that goes before they come, until LiteLLM logs it."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        requests.append(REQUEST.get())
        await ask()
        await send(start())
        await send(piece())

    requests: list[Any] = []
    logged = Logged()
    litellm.callbacks = [telemetry.callback, logged]
    provider.script = Script(chunks=20, hang_at="before_headers")
    served = Served(CancellationMiddleware(app))
    exchange = await silent(provider)
    served.leave()
    async with asyncio.timeout(10):
        while requests[0].disconnect is None:
            await asyncio.sleep(0)
    exchange.release()
    assert await served.ended() is None

    async with asyncio.timeout(10):
        await logged.event.wait()
    assert telemetry.outcomes() == {"completed": 1}


class TestCancelled:
    async def test_part_that_was_delivered(self, telemetry: Telemetry) -> None:
        ended(telemetry, Exit.CLOSED)

        said = (await telemetry.span()).attributes or {}
        assert said[sc.DELIVERED] == 0.75
        assert said[sc.CHUNKS_UNDELIVERED] == 1
        assert sc.TOKENS_UNDELIVERED not in said
        assert counted(telemetry, sc.UNDELIVERED) == {"cancelled": 1}
        assert counted(telemetry, sc.UNDELIVERED_TOKENS) == {}
        assert sc.COST_UNDELIVERED not in said
        assert counted(telemetry, sc.UNDELIVERED_COST) == {}

    @pytest.mark.parametrize("price", [2e-5, 0.0, None], ids=["listed", "free", "not listed"])
    async def test_money_where_tokens_and_price_are_known(
        self, telemetry: Telemetry, price: float | None
    ) -> None:
        ended(telemetry, Exit.CLOSED, replace(FACTS, output_tokens=400), price)

        said = (await telemetry.span()).attributes or {}
        assert said[sc.TOKENS_UNDELIVERED] == 100
        assert said.get(sc.COST_UNDELIVERED) == (price and pytest.approx(0.002))
        cost = counted(telemetry, sc.UNDELIVERED_COST)
        assert cost == ({"cancelled": pytest.approx(0.002)} if price else {})

    async def test_nothing_is_looked_up_where_nothing_was_wasted(
        self, telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[object] = []
        monkeypatch.setattr(facts, "output_price", lambda *args: asked.append(args))
        await chat(provider, "openai")
        stream = await chat(provider, "openai", stream=True)
        await anext(stream)
        await stream.aclose()

        assert telemetry.outcomes() == {"completed": 1, "cancelled": 1}
        assert asked == []

    async def test_tokens_that_the_provider_counted(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        options = {"include_usage": True, "continuous_usage_stats": True}
        provider.script = Script(chunks=None, hang_at=8)
        stream = await chat(provider, "openai", stream=True, stream_options=options)
        (call,) = telemetry.tracker.streams
        while call.progress.chunks < 4:
            await anext(stream)
        call.disconnected(Signal.ASGI_RECEIVE, call.clock())
        while call.progress.chunks < 8:
            await anext(stream)
        await stream.aclose()

        said = (await telemetry.span()).attributes or {}
        assert said[sc.OUTPUT_TOKENS] in (7, 8)  # LiteLLM hands out an empty chunk of its own first
        assert said[sc.TOKENS_UNDELIVERED] == 4
        assert counted(telemetry, sc.UNDELIVERED_TOKENS) == {"cancelled": 4}
        assert said[sc.COST_UNDELIVERED] == pytest.approx(4 * PRICE)
        assert counted(telemetry, sc.UNDELIVERED_COST) == {"cancelled": pytest.approx(4 * PRICE)}

    async def test_count_of_an_earlier_chunk_is_out_of_date(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(hang_at=3)
        stream = await chat(provider, "anthropic", stream=True)
        for _ in range(3):
            await anext(stream)
        await stream.aclose()

        assert sc.OUTPUT_TOKENS not in ((await telemetry.span()).attributes or {})


class TestReadToItsEnd:
    """An application, or LiteLLM's proxy, that reads on for whatever reason of its own."""

    async def test_counts_although_the_call_completed(self, telemetry: Telemetry) -> None:
        ended(telemetry, Exit.RETURNED)

        assert telemetry.outcomes() == {"completed": 1}
        assert counted(telemetry, sc.UNDELIVERED) == {"completed": 1}
        assert telemetry.spans == []

    @pytest.mark.parametrize("usage", [True, False], ids=["told", "not told"])
    async def test_tokens_by_the_provider_or_by_litellm(
        self, telemetry: Telemetry, provider: FakeProvider, usage: bool
    ) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            options = {"stream_options": {"include_usage": True}} if usage else {}
            stream = await chat(provider, "openai", stream=True, **options)
            await send(start())
            await send(piece(b"piece", more=True))
            drains.append(asyncio.create_task(drain(stream)))
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass

        async def drain(stream: Any) -> None:
            async for _ in stream:
                pass

        logged = Logged()
        litellm.callbacks = [telemetry.callback, logged]
        drains: list[asyncio.Task[None]] = []
        provider.script = Script(chunks=20, hang_at=10)
        served = Served(CancellationMiddleware(app))
        exchange = await silent(provider)
        await served.has_asked(2)
        served.leave()
        assert await served.ended() is None
        exchange.release()
        await drains[0]

        async with asyncio.timeout(10):
            await logged.event.wait()
        assert telemetry.outcomes() == {"completed": 1}
        actions = {point[sc.ACTION] for point, _ in telemetry.points(sc.GUARD_ACTIONS)}
        assert actions <= {"checkpoint"}
        assert 10 <= counted(telemetry, sc.UNDELIVERED)["completed"] <= 13  # LiteLLM adds its own
        tokens = counted(telemetry, sc.UNDELIVERED_TOKENS)
        if usage:
            assert 9 <= tokens["completed"] <= 11
        elif COUNTS:
            assert 18 <= tokens["completed"] <= 22  # its count has two to a piece
        else:
            assert tokens == {}  # LiteLLM's count is 0
        cost = {outcome: pytest.approx(count * PRICE) for outcome, count in tokens.items()}
        assert counted(telemetry, sc.UNDELIVERED_COST) == cost

    async def test_whole_answer_for_a_client_that_has_gone(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        await answered_to_nobody(telemetry, provider, lambda: chat(provider, "openai"))

        assert counted(telemetry, sc.UNDELIVERED) == {}
        assert counted(telemetry, sc.UNDELIVERED_TOKENS) == {"completed": 20}
        assert counted(telemetry, sc.UNDELIVERED_COST) == {"completed": pytest.approx(20 * PRICE)}

    @pytest.mark.parametrize(
        ("own", "price"),
        [
            ({}, None),
            ({"base_model": "azure/gpt-4o"}, 4e-5),
            ({"base_model": "azure/gpt-4o", "output_cost_per_token": 3e-5}, 3e-5),
            ({"base_model": "azure/gpt-4o", "output_cost_per_token": 0}, 0),
        ],
        ids=["its name only", "its base model", "its own price", "for nothing"],
    )
    async def test_money_at_a_deployment_of_azures(
        self,
        telemetry: Telemetry,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        own: dict[str, Any],
        price: float | None,
    ) -> None:
        listed = {"litellm_provider": "azure", "output_cost_per_token": 4e-5}
        monkeypatch.setitem(litellm.model_cost, "azure/gpt-4o", listed)
        asked = {**litellm_kwargs("azure", provider.base_url), "model": "azure/my-deployment"}
        router = litellm.Router(
            [{"model_name": "gpt-4o", "litellm_params": asked, "model_info": own}]
        )
        ask = partial(router.acompletion, "gpt-4o", MESSAGES)
        await answered_to_nobody(telemetry, provider, ask)

        assert [tokens for _, tokens in telemetry.points(sc.UNDELIVERED_TOKENS)] == [20]
        cost = [value for _, value in telemetry.points(sc.UNDELIVERED_COST)]
        assert cost == ([pytest.approx(20 * price)] if price else [])

    async def test_no_answer_is_remembered_for_ever(self, telemetry: Telemetry) -> None:
        recorder = telemetry.tracker.recorder
        for number in range(1000):
            ended(telemetry, Exit.RETURNED, CallFacts("chat", "openai", "m", True, str(number)))
        telemetry.tracker.notes.settle()
        assert len(recorder._unsaid) == 256

        for number in range(1000):
            recorder.used(str(number), 4)
        ((_, tokens),) = telemetry.points(sc.UNDELIVERED_TOKENS)
        assert tokens == 256
        assert not recorder._unsaid
        ((_, cost),) = telemetry.points(sc.UNDELIVERED_COST)
        assert cost == pytest.approx(256 * PRICE)


@pytest.mark.parametrize(
    "logged",
    [
        None,
        {},
        {"litellm_call_id": "a-call"},
        {"litellm_call_id": "a-call", "standard_logging_object": None},
        {"litellm_call_id": "a-call", "standard_logging_object": {"completion_tokens": 0}},
        {"litellm_call_id": "a-call", "standard_logging_object": {"completion_tokens": "7"}},
        {"litellm_call_id": None, "standard_logging_object": {"completion_tokens": 7}},
        {"litellm_call_id": "a-call", "standard_logging_object": 7},
    ],
)
def test_a_log_that_does_not_say_it(logged: Any) -> None:
    assert logged_usage(logged) is None


def test_a_log_that_does() -> None:
    logged = {"litellm_call_id": "a-call", "standard_logging_object": {"completion_tokens": 7}}

    assert logged_usage(logged) == ("a-call", 7)
