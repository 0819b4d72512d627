"""The LiteLLM Proxy as an operator runs it: ``litellm --config``, one line of it ours, no code."""

import json
import os
import shutil
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from proxy.running import BACKSTOP, Client, RunningProxy, exchange_of

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    Exchange,
    Script,
    ThreadedFakeProvider,
    litellm_kwargs,
)
from support.otlp_sink import ReceivedSpan

REQUIRE_ALL = os.environ.get("REQUIRE_ALL_TESTS") == "1"

pytestmark = pytest.mark.skipif(
    find_spec("litellm_proxy_extras") is None and not REQUIRE_ALL,
    reason="the LiteLLM Proxy is not installed: pip install 'litellm[proxy]'",
)

DROPS_AT_CONNECT, DROPS_IN_BODY = "drop-connect", "drop-body"
OUR_LINE = "litellm_cancel_otel.proxy_handler"
NEVER = "3600000"
REPEATS = 5
LAST_WORD = Script().text.split()[-1]
SOON = 0.1
"""Seconds from the client's leaving, half of the times at least."""


@dataclass(frozen=True)
class Route:
    """One of the proxy's endpoints, a body for it, and what its calls are named in telemetry."""

    path: str
    operation: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def body(self, mark: str, *, stream: bool) -> dict[str, Any]:
        """Return a request that mentions a mark in what it asks."""
        asked = {"input": mark} if self.operation == "responses" else {"messages": _ask(mark)}
        return {**self.fields, **asked, **({"stream": True} if stream else {})}


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


CLAUDE = {"model": "claude-3-5-sonnet-20241022", "max_tokens": 64}
CALLS = {
    **{f"chat-{one}": Route("/v1/chat/completions", "chat", {"model": one}) for one in PROVIDERS},
    "responses": Route("/v1/responses", "responses", {"model": "openai"}),
    "messages": Route("/v1/messages", "messages", {"model": "anthropic", "max_tokens": 64}),
}
PASS_THROUGH = {
    "pass-through": Route("/mine", "pass_through", {"model": "gpt-4o-mini"}),
    "pass-through-anthropic": Route("/anthropic/v1/messages", "pass_through", CLAUDE),
}
SHORT = "chat-azure"
"""The one route that is always tried."""
DRAINED = Route("/v1/messages", "messages", {"model": "bedrock", "max_tokens": 64})
EVERY = {**CALLS, **PASS_THROUGH, "messages-bedrock": DRAINED}


@dataclass(frozen=True)
class Site:
    """The provider, and two proxies: one with our line alone, one that is told more."""

    provider: ThreadedFakeProvider
    plain: RunningProxy
    cancelling: RunningProxy
    """``cancel_on_disconnect``, fallbacks, and an HTTP layer that cancels; exports at the end."""

    def play(self, script: Script) -> None:
        """Let the provider answer like this from now on."""
        self.provider.provider.script = script


def plain_config(provider: str) -> dict[str, Any]:
    return {
        "model_list": [
            {"model_name": one, "litellm_params": litellm_kwargs(one, provider)}
            for one in PROVIDERS
        ],
        "litellm_settings": {"callbacks": [OUR_LINE]},
        "general_settings": {
            "pass_through_endpoints": [
                {"path": "/mine", "target": f"{provider}/v1/chat/completions", "auth": False}
            ]
        },
    }


def cancelling_config(provider: str, home: Path) -> dict[str, Any]:
    shutil.copy(Path(__file__).parent / "proxy" / "dropping_session.py", home)
    dropping = (DROPS_AT_CONNECT, DROPS_IN_BODY)
    config = plain_config(provider)
    config["model_list"] += [
        {"model_name": one, "litellm_params": litellm_kwargs("azure", provider, one)}
        for one in dropping
    ]
    config["litellm_settings"]["callbacks"].append("dropping_session.handler")
    config["general_settings"]["cancel_on_disconnect"] = True
    config["router_settings"] = {
        "num_retries": 0,
        "fallbacks": [{one: ["openai"]} for one in dropping],
    }
    return config


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both proxies, started at once: each takes its time."""
    homes = [tmp_path_factory.mktemp("proxy") for _ in range(2)]
    with ThreadedFakeProvider() as provider:
        anthropic = {"ANTHROPIC_API_BASE": provider.base_url, "ANTHROPIC_API_KEY": "fake-key"}
        plain = RunningProxy(
            homes[0],
            plain_config(provider.base_url),
            **anthropic,
            OTEL_METRIC_EXPORT_INTERVAL="100",
            OTEL_BSP_SCHEDULE_DELAY="50",
            LITELLM_CANCEL_OTEL_STUCK_AFTER_DISCONNECT="0.3",
            LITELLM_CANCEL_OTEL_WATCHDOG_INTERVAL="0.05",
        )
        cancelling = RunningProxy(
            homes[1],
            cancelling_config(provider.base_url, homes[1]),
            **anthropic,
            OTEL_METRIC_EXPORT_INTERVAL=NEVER,
            OTEL_BSP_SCHEDULE_DELAY="500",
        )
        with plain, cancelling:
            yield Site(provider, plain.ready(), cancelling.ready())


@dataclass(frozen=True)
class Departure:
    """A client that left, and what came of it."""

    left_at: float
    left_ns: int
    exchange: Exchange
    span: ReceivedSpan

    @property
    def to_upstream_close(self) -> float:
        """Seconds from its leaving until the provider's connection was closed."""
        assert self.exchange.closed_at is not None
        return self.exchange.closed_at - self.left_at

    @property
    def to_disconnect(self) -> float:
        """Seconds from its leaving to the disconnect that the span tells of."""
        (at,) = (one.time_unix_nano for one in self.span.proto.events if one.name == "disconnect")
        return float(at - self.left_ns) / 1e9


def leave(
    site: Site, proxy: RunningProxy, route: Route, *, events: int = 3, stream: bool = True
) -> tuple[Client, Exchange, str]:
    """Make a call and leave it: after some events, or with 0 as soon as the provider is silent."""
    call_id = str(uuid4())
    with Client(proxy, route.path, route.body(call_id, stream=stream), call_id) as client:
        exchange = exchange_of(site.provider, call_id)
        if events:
            client.read(events)
        else:
            site.provider.run(exchange.wait_hanging(BACKSTOP))
        client.leave()
    return client, exchange, call_id


def depart(site: Site, proxy: RunningProxy, route: Route, **how: Any) -> Departure:
    """Make a call, leave it, and wait until all has come to its end."""
    before = len(proxy.sink.spans)
    client, exchange, call_id = leave(site, proxy, route, **how)
    site.provider.run(exchange.wait_closed(BACKSTOP))
    own = call_id if route.operation != "pass_through" else None  # whose spans have no id

    def found() -> list[ReceivedSpan]:
        return [one for one in proxy.sink.spans[before:] if one.attributes.get(sc.CALL_ID) == own]

    proxy.sink.wait_for(lambda _: found(), BACKSTOP)
    (span,) = found()
    return Departure(client.left_at, client.left_ns, exchange, span)


def said(span: ReceivedSpan) -> tuple[Any, ...]:
    """Return what a span says of its cancel."""
    names = (sc.OPERATION, sc.CANCELLATION_TYPE, sc.SOURCE, sc.PHASE)
    return tuple(span.attributes.get(name) for name in names)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, id=one[0], marks=() if one[0] == SHORT else pytest.mark.long)
        for one in {**CALLS, **PASS_THROUGH}.items()
    ],
)
def departures(request: pytest.FixtureRequest, site: Site) -> tuple[Route, list[Departure]]:
    """Clients that left a flowing stream; the first of its kind is not among them.

    LiteLLM loads its tokenizers, for one, when it first bills for an answer that was broken off.
    """
    _, route = request.param
    site.play(Script(chunks=None, interval=0.01))
    depart(site, site.plain, route)
    return route, [depart(site, site.plain, route) for _ in range(REPEATS)]


Departures = tuple[Route, list[Departure]]


def test_a_client_that_leaves_is_one_span_that_says_so(departures: Departures) -> None:
    route, gone = departures
    for one in gone:
        assert said(one.span) == (route.operation, "external", "client_disconnect", "streaming")
        assert one.span.attributes[sc.SIGNAL] in ("asgi_receive", "asgi_send")


def test_the_disconnect_is_when_the_client_left(departures: Departures) -> None:
    _, gone = departures
    times = [one.to_disconnect for one in gone]
    assert min(times) > -0.001  # the two processes read the same clock
    assert statistics.median(times) < SOON


def test_the_providers_connection_is_closed_at_once(departures: Departures) -> None:
    _, gone = departures
    assert {one.exchange.how for one in gone} == {"client_gone"}
    assert statistics.median(one.to_upstream_close for one in gone) < SOON


@pytest.mark.parametrize("name", [*CALLS, *PASS_THROUGH])
@pytest.mark.long
def test_before_the_first_chunk_it_is_no_different(site: Site, name: str) -> None:
    route = EVERY[name]
    site.play(Script(chunks=None, hang_at="before_first_chunk"))
    gone = [depart(site, site.plain, route, events=0) for _ in range(REPEATS)]
    for one in gone:
        assert said(one.span) == (route.operation, "external", "client_disconnect", "request")
    assert statistics.median(one.to_upstream_close for one in gone) < SOON


@pytest.mark.long
def test_messages_of_bedrock_are_read_to_their_end(site: Site) -> None:
    chunks = 50
    site.play(Script(chunks=chunks, interval=0.02))
    exported = len(site.plain.sink.metrics)
    gone = depart(site, site.plain, DRAINED)
    assert (gone.exchange.how, gone.exchange.chunks_sent) == ("complete", chunks)
    assert said(gone.span) == ("messages", "external", "client_disconnect", "streaming")
    assert sc.EVENT_STUCK not in gone.span.events
    assert gone.span.events.get(sc.EVENT_GUARD, {}).get(sc.ACTION) in (None, "checkpoint")
    stuck = [
        value
        for metric in site.plain.sink.metrics[exported:]
        if metric.name == sc.STREAMS_STUCK.name
        for _, value in metric.points
    ]
    assert not any(stuck)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.long
def test_a_call_that_completes_is_counted_so(site: Site, name: str, stream: bool) -> None:
    route = EVERY[name]
    site.play(Script())
    proxy, spans = site.plain, len(site.plain.sink.spans)
    wanted = {sc.OPERATION: route.operation, sc.OUTCOME: "completed"}
    before = proxy.count(sc.CALLS, **wanted)
    answer = proxy.http.post(route.path, json=route.body("hello", stream=stream))
    assert answer.status_code == 200, answer.text
    proxy.sink.wait_for(lambda _: proxy.count(sc.CALLS, **wanted) > before)
    assert proxy.count(sc.CALLS, **wanted) == before + 1
    assert proxy.sink.spans[spans:] == []


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.long
def test_a_whole_answer_is_completed_for_a_client_that_has_gone(site: Site, name: str) -> None:
    # LiteLLM's default: no cancel_on_disconnect. What it does is what is told.
    route = EVERY[name]
    site.play(Script(hang_at="before_headers"))
    proxy, spans = site.plain, len(site.plain.sink.spans)
    wanted = {sc.OPERATION: route.operation, sc.OUTCOME: "completed"}
    before = proxy.count(sc.CALLS, **wanted)
    _, exchange, _ = leave(site, proxy, route, events=0, stream=False)
    site.provider.release(exchange)
    proxy.sink.wait_for(lambda _: proxy.count(sc.CALLS, **wanted) > before)
    assert exchange.how == "complete"
    assert proxy.sink.spans[spans:] == []


@pytest.mark.parametrize("name", [*CALLS, "messages-bedrock"])
@pytest.mark.long
def test_its_tokens_are_counted_as_for_nobody(site: Site, name: str) -> None:
    route = EVERY[name]
    site.play(Script(hang_at="before_headers"))
    proxy = site.plain
    wanted = {sc.OPERATION: route.operation, sc.OUTCOME: "completed"}
    completed, before = (proxy.count(one, **wanted) for one in (sc.CALLS, sc.UNDELIVERED_TOKENS))
    calls = 0
    while calls < REPEATS or not proxy.count(sc.UNDELIVERED_TOKENS, **wanted) > before:
        # The proxy may hear of the client's leaving after the answer's end.
        assert calls < 10 * REPEATS
        _, exchange, _ = leave(site, proxy, route, events=0, stream=False)
        site.provider.release(exchange)
        calls += 1
        ended = completed + calls
        proxy.sink.wait_for(lambda _, ended=ended: proxy.count(sc.CALLS, **wanted) == ended)
    wasted = proxy.count(sc.UNDELIVERED_TOKENS, **wanted) - before
    assert wasted % Script().pieces == 0
    assert wasted <= calls * Script().pieces


@pytest.mark.parametrize("name", [*CALLS, "messages-bedrock"])
@pytest.mark.long
def test_with_cancel_on_disconnect_a_whole_answer_is_cancelled(site: Site, name: str) -> None:
    route = EVERY[name]
    site.play(Script(hang_at="before_headers"))
    times = []
    for _ in range(REPEATS):
        client, exchange, call_id = leave(site, site.cancelling, route, events=0, stream=False)
        site.provider.run(exchange.wait_closed(BACKSTOP))
        assert exchange.closed_at is not None
        times.append(exchange.closed_at - client.left_at)
    span = site.cancelling.span(call_id)
    assert said(span) == (route.operation, "external", "client_disconnect", "request")
    assert statistics.median(times) < SOON


@pytest.mark.parametrize("name", PASS_THROUGH)
@pytest.mark.long
def test_pass_through_does_not_know_cancel_on_disconnect(site: Site, name: str) -> None:
    site.play(Script(hang_at="before_headers"))
    spans = len(site.cancelling.sink.spans)
    _, exchange, _ = leave(site, site.cancelling, EVERY[name], events=0, stream=False)
    site.provider.release(exchange)
    site.provider.run(exchange.wait_closed(BACKSTOP))
    assert exchange.how == "complete"
    assert site.cancelling.sink.spans[spans:] == []


def ask_dropping(site: Site, deployment: str, *, stream: bool) -> tuple[str, ReceivedSpan]:
    """Return the answer to a call whose HTTP layer cancels, and the one span."""
    site.play(Script())
    proxy, spans = site.cancelling, len(site.cancelling.sink.spans)
    body = {"model": deployment, "messages": _ask("hello"), **({"stream": True} if stream else {})}
    answer = proxy.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    proxy.sink.wait_for(lambda sink: len(sink.spans) > spans, BACKSTOP)
    (span,) = proxy.sink.spans[spans:]
    return answer.text, span


@pytest.mark.parametrize(
    ("deployment", "stream"),
    [(DROPS_AT_CONNECT, False), (DROPS_AT_CONNECT, True), (DROPS_IN_BODY, False)],
)
@pytest.mark.long
def test_an_internal_cancel_is_no_disconnect_and_the_fallback_answers(
    site: Site, deployment: str, stream: bool
) -> None:
    answer, span = ask_dropping(site, deployment, stream=stream)
    assert said(span) == ("chat", "azure_internal", "provider", "request")
    assert span.attributes[sc.REQUEST_MODEL] == deployment
    assert LAST_WORD in answer


@pytest.mark.long
def test_an_internal_cancel_between_chunks_is_the_error_that_any_other_is(site: Site) -> None:
    # Of no error does LiteLLM fall back once a part of the answer has been sent.
    answer, span = ask_dropping(site, DROPS_IN_BODY, stream=True)
    assert said(span) == ("chat", "azure_internal", "provider", "streaming")
    assert LAST_WORD not in answer
    *_, last = answer.strip().split("data: ")
    assert json.loads(last)["error"]["code"] == "500"


@pytest.mark.long
def test_a_stop_by_signal_delivers_everything(site: Site) -> None:
    proxy = site.cancelling
    site.play(Script())
    assert proxy.http.post("/mine", json={"messages": _ask("hello")}).status_code == 200
    assert proxy.count(sc.CALLS) == 0  # nothing has been exported
    site.play(Script(chunks=None, interval=0.01))
    _, _, call_id = leave(site, proxy, CALLS["chat-azure"])
    proxy.http.close()
    proxy.terminate()
    assert said(proxy.span(call_id)) == ("chat", "external", "client_disconnect", "streaming")
    proxy.sink.wait_for(lambda _: proxy.count(sc.CALLS, **{sc.OUTCOME: "completed"}))
    assert proxy.count(sc.CALLS, **{sc.OPERATION: "pass_through", sc.OUTCOME: "completed"})


@pytest.mark.parametrize("which", ["plain", "cancelling"])
@pytest.mark.long
def test_nothing_of_ours_went_wrong(site: Site, which: str) -> None:
    proxy: RunningProxy = getattr(site, which)
    assert proxy.count(sc.INTERNAL_ERRORS) == 0
    for complaint in ("a fault in", "is not quite as this package knows it", "was never awaited"):
        assert complaint not in proxy.log
