"""The fake providers: real LiteLLM and raw sockets against every wire format, hang and ending."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import socket
import struct
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Self

import httpx
import litellm
import openai
import pytest

from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    Ending,
    Exchange,
    FakeProvider,
    HangAt,
    Script,
    ThreadedFakeProvider,
    Wire,
    aclose_litellm_clients,
    litellm_kwargs,
)
from litellm_cancel_otel._demo.fakes.wire import eventstream, openai_media

# LiteLLM's annotations differ from one version to the next.
sdk: Any = litellm

MESSAGES = [{"role": "user", "content": "hello"}]
HANGS: tuple[HangAt, ...] = ("before_headers", "before_first_chunk", 0, 2)
BREAKS: tuple[Ending, ...] = ("fin", "rst", "half_chunk")

needs_botocore = pytest.mark.skipif(
    find_spec("botocore") is None, reason="LiteLLM calls Bedrock through botocore"
)
needs_mcp = pytest.mark.skipif(
    find_spec("mcp") is None and find_spec("litellm.responses.mcp") is not None,
    reason="this LiteLLM makes every call of the Responses API through mcp",
)
every_provider = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_botocore if name == "bedrock" else ()) for name in PROVIDERS],
)
openai_alike = pytest.mark.parametrize("name", ["openai", "azure"])
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as running:
        yield running
        await aclose_litellm_clients()


async def chat(provider: FakeProvider, name: Wire, *, stream: bool, **more: Any) -> str:
    """The text of a chat completion; no retries, so that one call is one exchange."""
    response = await sdk.acompletion(
        **litellm_kwargs(name, provider.base_url),
        messages=MESSAGES,
        stream=stream,
        max_retries=0,
        **more,
    )
    if not stream:
        return str(response.choices[0].message.content)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in response if chunk.choices]
    return "".join(pieces)


async def only_exchange(provider: FakeProvider) -> Exchange:
    """The one exchange there was, once it is over."""
    exchange = await provider.next_exchange()
    await exchange.wait_closed()
    assert provider.exchanges == [exchange]
    assert provider.open_exchanges == 0
    return exchange


class TestThroughLiteLLM:
    @every_provider
    @streamed_or_not
    async def test_chat(self, provider: FakeProvider, name: Wire, stream: bool) -> None:
        assert await chat(provider, name, stream=stream) == provider.script.text

        exchange = await only_exchange(provider)
        assert (exchange.wire, exchange.stream) == (name, stream)
        assert litellm_kwargs(name, "")["model"] == f"{name}/{exchange.model}"
        assert exchange.chunks_sent == (5 if stream else 1)
        assert (exchange.how, exchange.closed_by) == ("complete", "server")
        assert exchange.closed_at is not None
        assert exchange.closed_at >= exchange.arrived_at

    @every_provider
    async def test_chat_after_litellms_clients_were_closed(
        self, provider: FakeProvider, name: Wire
    ) -> None:
        for _ in range(2):
            assert await chat(provider, name, stream=True) == provider.script.text
            await aclose_litellm_clients()

        assert len(provider.exchanges) == 2

    @every_provider
    async def test_chat_stream_in_one_write(self, provider: FakeProvider, name: Wire) -> None:
        provider.script = Script(chunks=200, burst=True)

        assert await chat(provider, name, stream=True) == provider.script.text

    @openai_alike
    async def test_usage_of_a_chat_stream(self, provider: FakeProvider, name: Wire) -> None:
        response = await sdk.acompletion(
            **litellm_kwargs(name, provider.base_url),
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
        usages = [chunk.usage async for chunk in response if getattr(chunk, "usage", None)]

        assert [usage.completion_tokens for usage in usages] == [5]

    # LiteLLM makes a client for each text completion, and leaves it to the garbage collector.
    @pytest.mark.filterwarnings("ignore::ResourceWarning")
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize(("name", "prefix"), [("openai", "openai"), ("azure", "azure_text")])
    @streamed_or_not
    async def test_text_completion(
        self, provider: FakeProvider, name: Wire, prefix: str, stream: bool
    ) -> None:
        kwargs = litellm_kwargs(name, provider.base_url)
        kwargs["model"] = f"{prefix}/gpt-3.5-turbo-instruct"

        response = await sdk.atext_completion(**kwargs, prompt="hello", stream=stream)
        if stream:
            text = "".join([chunk.choices[0].text or "" async for chunk in response])
        else:
            text = response.choices[0].text
        del response
        gc.collect()

        assert text == provider.script.text
        exchange = await only_exchange(provider)
        assert (exchange.wire, exchange.operation) == (name, "completions")

    @pytest.mark.parametrize(
        ("name", "model"),
        [
            ("openai", "text-embedding-3-small"),
            ("azure", "text-embedding-3-small"),
            pytest.param("bedrock", "amazon.titan-embed-text-v2:0", marks=needs_botocore),
        ],
    )
    async def test_embedding(self, provider: FakeProvider, name: Wire, model: str) -> None:
        response = await sdk.aembedding(
            **litellm_kwargs(name, provider.base_url, model), input=["hello"]
        )

        assert [item["embedding"] for item in response.data] == [[0.1, 0.2, 0.3]]
        assert (await only_exchange(provider)).model == model

    @needs_mcp
    @openai_alike
    @streamed_or_not
    async def test_responses(self, provider: FakeProvider, name: Wire, stream: bool) -> None:
        response = await sdk.aresponses(
            **litellm_kwargs(name, provider.base_url), input="hello", stream=stream
        )
        if stream:
            events = [event async for event in response]
            assert events[-1].type == "response.completed"
            assert events[-1].response.output[0].content[0].text == provider.script.text
            text = "".join(
                event.delta for event in events if event.type == "response.output_text.delta"
            )
        else:
            text = response.output[0].content[0].text

        assert text == provider.script.text
        exchange = await only_exchange(provider)
        assert (exchange.wire, exchange.operation) == (name, "responses")

    @openai_alike
    async def test_image(self, provider: FakeProvider, name: Wire) -> None:
        response = await sdk.aimage_generation(
            **litellm_kwargs(name, provider.base_url, "dall-e-3"), prompt="hello"
        )

        assert response.data[0].b64_json == openai_media.PIXEL
        assert (await only_exchange(provider)).wire == name

    @openai_alike
    async def test_transcription(self, provider: FakeProvider, name: Wire) -> None:
        response = await sdk.atranscription(
            **litellm_kwargs(name, provider.base_url, "whisper-1"), file=("a.wav", b"RIFF\r\n\xff")
        )

        assert response.text == provider.script.text
        exchange = await only_exchange(provider)
        assert (exchange.wire, exchange.model) == (name, "whisper-1")
        assert exchange.payload["file"] == b"RIFF\r\n\xff"

    @openai_alike
    async def test_speech(self, provider: FakeProvider, name: Wire) -> None:
        response = await sdk.aspeech(
            **litellm_kwargs(name, provider.base_url, "tts-1"), input="hello", voice="alloy"
        )

        assert response.content == openai_media.SPEECH
        assert (await only_exchange(provider)).wire == name

    @streamed_or_not
    async def test_anthropic_messages(self, provider: FakeProvider, stream: bool) -> None:
        if stream:
            pytest.importorskip(
                "litellm.proxy.pass_through_endpoints.success_handler",
                reason="LiteLLM streams Anthropic's messages through its proxy's modules",
                exc_type=ImportError,
            )
        response = await sdk.anthropic_messages(
            **litellm_kwargs("anthropic", provider.base_url),
            messages=MESSAGES,
            max_tokens=10,
            stream=stream,
        )
        if stream:
            raw = b"".join([chunk async for chunk in response]).decode()
            events = [json.loads(line[6:]) for line in raw.splitlines() if line[:6] == "data: "]
            assert events[-1]["type"] == "message_stop"
            text = "".join(
                event["delta"]["text"] for event in events if event["type"] == "content_block_delta"
            )
        else:
            text = response["content"][0]["text"]

        assert text == provider.script.text

    @needs_botocore
    @streamed_or_not
    async def test_bedrock_invoke(self, provider: FakeProvider, stream: bool) -> None:
        model = "invoke/anthropic.claude-3-5-sonnet-20240620-v1:0"
        response = await sdk.acompletion(
            **litellm_kwargs("bedrock", provider.base_url, model), messages=MESSAGES, stream=stream
        )
        if stream:
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in response])
        else:
            text = response.choices[0].message.content

        assert text == provider.script.text
        assert (await only_exchange(provider)).operation.startswith("invoke")

    @every_provider
    @streamed_or_not
    @pytest.mark.parametrize(
        ("status", "error"),
        [(429, sdk.RateLimitError), (500, openai.APIError)],
    )
    async def test_error_status(
        self, provider: FakeProvider, name: Wire, stream: bool, status: int, error: Any
    ) -> None:
        provider.script = Script(status=status)

        with pytest.raises(error, match=f"fake {name} error {status}"):
            await chat(provider, name, stream=stream)

        assert (await only_exchange(provider)).how == "complete"

    @every_provider
    @pytest.mark.parametrize("hang_at", HANGS)
    async def test_stream_hangs_until_released(
        self, provider: FakeProvider, name: Wire, hang_at: HangAt
    ) -> None:
        provider.script = Script(hang_at=hang_at)
        call = asyncio.create_task(chat(provider, name, stream=True))
        exchange = await provider.next_exchange()
        await exchange.wait_hanging()

        assert exchange.chunks_sent == (hang_at if isinstance(hang_at, int) else 0)
        assert (exchange.hanging, exchange.how, call.done()) == (True, None, False)
        exchange.release()

        assert await call == provider.script.text

    @every_provider
    @pytest.mark.parametrize("hang_at", ["before_headers", "before_first_chunk", 1])
    async def test_cancelled_caller_is_seen_to_go(
        self, provider: FakeProvider, name: Wire, hang_at: HangAt
    ) -> None:
        provider.script = Script(hang_at=hang_at)
        call = asyncio.create_task(chat(provider, name, stream=False))
        exchange = await provider.next_exchange()
        await exchange.wait_hanging()

        call.cancel()
        await asyncio.wait([call])

        await exchange.wait_closed()
        assert (exchange.how, exchange.closed_by) == ("client_gone", "client")

    @every_provider
    @streamed_or_not
    @pytest.mark.parametrize("ending", BREAKS)
    async def test_broken_off_answer_is_never_whole(
        self, provider: FakeProvider, name: Wire, stream: bool, ending: Ending
    ) -> None:
        provider.script = Script(chunks=3, ending=ending)
        whole = Script(chunks=4).text
        try:
            text = await chat(provider, name, stream=stream)
        except openai.APIError:  # the base of every error of LiteLLM's
            pass
        else:
            assert stream
            assert whole.startswith(text)
            assert text != whole

        # More than one exchange, if LiteLLM's HTTP handler tries again.
        await provider.wait_idle()
        assert {exchange.how for exchange in provider.exchanges} == {ending}


class Raw:
    """A client that is nothing but a TCP socket."""

    def __init__(self, base_url: str) -> None:
        self._address = ("127.0.0.1", int(base_url.rpartition(":")[2]))

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.transport.abort()

    def post(self, path: str = "/v1/chat/completions", **payload: Any) -> None:
        body = json.dumps({"model": "m", **payload}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    def leave(self, by: str) -> None:
        """Close the connection: an ordinary FIN, or a reset."""
        if by == "rst":
            linger = struct.pack("ii", 1, 0)
            sock: socket.socket = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        else:
            self.writer.close()


class TestClientGone:
    """The provider knows at once, whatever it is doing; nothing else would end these exchanges."""

    @pytest.mark.parametrize("by", ["fin", "rst"])
    @streamed_or_not
    @pytest.mark.parametrize("hang_at", HANGS)
    async def test_while_hanging(
        self, provider: FakeProvider, hang_at: HangAt, stream: bool, by: str
    ) -> None:
        provider.script = Script(hang_at=hang_at)
        async with Raw(provider.base_url) as client:
            client.post(stream=stream)
            exchange = await provider.next_exchange()
            await exchange.wait_hanging()
            assert provider.open_exchanges == 1

            client.leave(by)
            await exchange.wait_closed()

        assert (exchange.how, exchange.closed_by) == ("client_gone", "client")
        assert provider.open_exchanges == 0

    @pytest.mark.parametrize("by", ["fin", "rst"])
    async def test_between_two_chunks_an_hour_apart(self, provider: FakeProvider, by: str) -> None:
        provider.script = Script(interval=3600)
        async with Raw(provider.base_url) as client:
            client.post(stream=True)
            exchange = await provider.next_exchange()
            await exchange.wait_chunks(1)
            client.leave(by)
            await exchange.wait_closed()

        assert (exchange.how, exchange.chunks_sent) == ("client_gone", 1)

    @pytest.mark.parametrize("by", ["fin", "rst"])
    async def test_in_an_endless_stream(self, provider: FakeProvider, by: str) -> None:
        provider.script = Script(chunks=None)
        async with Raw(provider.base_url) as client:
            client.post(stream=True)
            exchange = await provider.next_exchange()
            await exchange.wait_chunks(100)
            client.leave(by)
            await exchange.wait_closed()

        assert exchange.how == "client_gone"

    async def test_while_a_write_waits_for_a_client_that_does_not_read(
        self, provider: FakeProvider
    ) -> None:
        provider.script = Script(chunks=200_000, burst=True)
        async with Raw(provider.base_url) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.post(stream=True)
            exchange = await provider.next_exchange()
            client.leave("rst")
            await exchange.wait_closed()

        assert (exchange.how, exchange.chunks_sent) == ("client_gone", 0)

    async def test_after_its_request_was_answered_is_no_news(self, provider: FakeProvider) -> None:
        async with Raw(provider.base_url) as client:
            client.post()
            exchange = await provider.next_exchange()
            await exchange.wait_closed()
            client.leave("fin")

        assert exchange.how == "complete"


class TestEndings:
    """What each ending is on the wire."""

    async def answer(self, provider: FakeProvider, script: Script, **payload: Any) -> bytes:
        provider.script = script
        async with Raw(provider.base_url) as client:
            client.post(**payload)
            if script.ending == "rubbish":
                return await client.reader.readuntil(b"\r\n0\r\n\r\n")
            return await client.reader.read()

    async def test_fin_comes_after_the_last_chunk(self, provider: FakeProvider) -> None:
        wire = await self.answer(provider, Script(chunks=2, ending="fin"), stream=True)

        assert b"word1" in wire
        assert b"word2" not in wire
        assert not wire.endswith(b"0\r\n\r\n")
        assert (await only_exchange(provider)).how == "fin"

    async def test_rst_resets_the_connection(self, provider: FakeProvider) -> None:
        with pytest.raises(ConnectionResetError):
            await self.answer(provider, Script(chunks=2, ending="rst"), stream=True)

        assert (await only_exchange(provider)).how == "rst"

    async def test_half_chunk_stops_inside_an_event(self, provider: FakeProvider) -> None:
        wire = await self.answer(provider, Script(chunks=2, ending="half_chunk"), stream=True)

        last = wire.rpartition(b"data: ")[2]
        assert b'"object":"chat.completion.chunk"' in last
        assert b"\n\n" not in last
        assert (await only_exchange(provider)).how == "half_chunk"

    async def test_rubbish_is_no_event_and_then_the_answer_ends(
        self, provider: FakeProvider
    ) -> None:
        wire = await self.answer(provider, Script(chunks=2, ending="rubbish"), stream=True)

        assert b"data: {rubbish\xff\n\n" in wire
        assert (await only_exchange(provider)).how == "rubbish"

    @pytest.mark.parametrize("ending", ["fin", "half_chunk"])
    async def test_a_body_stops_at_its_half(self, provider: FakeProvider, ending: Ending) -> None:
        wire = await self.answer(provider, Script(ending=ending))

        head, _, body = wire.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert len(body) == length // 2
        assert (await only_exchange(provider)).how == ending

    @every_provider
    @streamed_or_not
    async def test_rubbish_neither_hangs_litellm_nor_looks_whole(
        self, provider: FakeProvider, name: Wire, stream: bool
    ) -> None:
        provider.script = Script(chunks=2, ending="rubbish")
        try:
            text = await chat(provider, name, stream=stream)
        except (openai.APIError, json.JSONDecodeError, UnicodeDecodeError):
            text = ""

        assert Script(chunks=2).text.startswith(text)
        await provider.wait_idle()
        assert {exchange.how for exchange in provider.exchanges} == {"rubbish"}


class TestServer:
    async def test_keeps_the_connection_for_the_next_request(self, provider: FakeProvider) -> None:
        async with Raw(provider.base_url) as client:
            for stream in (False, True, False):
                client.post(stream=stream)
                exchange = await provider.next_exchange()
                await exchange.wait_closed()
                assert (exchange.stream, exchange.how) == (stream, "complete")
            assert provider.open_connections == 1

    async def test_says_go_on_to_a_client_that_asks_before_it_sends(
        self, provider: FakeProvider
    ) -> None:
        async with Raw(provider.base_url) as client:
            client.writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
                b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
            )
            assert (await client.reader.readline()).startswith(b"HTTP/1.1 100 ")
            client.writer.write(b"{}")
            assert (await only_exchange(provider)).how == "complete"

    async def test_answers_requests_sent_in_advance(self, provider: FakeProvider) -> None:
        async with Raw(provider.base_url) as client:
            client.post(model="a")
            client.post(model="b")
            for model in "ab":
                exchange = await provider.next_exchange()
                await exchange.wait_closed()
                assert (exchange.model, exchange.how) == (model, "complete")

    async def test_script_of_a_model(self, provider: FakeProvider) -> None:
        provider.scripts["other/one"] = Script(status=503)
        async with httpx.AsyncClient(trust_env=False, base_url=provider.base_url) as client:
            default = await client.post("/model/some%2Fone/converse", json={})
            other = await client.post("/model/other%2Fone/converse", json={})

        assert (default.status_code, other.status_code) == (200, 503)
        assert other.headers["x-amzn-errortype"] == "ServiceUnavailableException"

    @pytest.mark.parametrize(
        "path",
        ["/", "/v1/nothing", "/model/m/nothing", "/openai/deployments/d/nothing", "/v1/messages/x"],
    )
    async def test_unknown_path_is_named(self, provider: FakeProvider, path: str) -> None:
        async with httpx.AsyncClient(trust_env=False, base_url=provider.base_url) as client:
            answer = await client.post(path, json={})

        assert answer.status_code == 404
        assert path in answer.text
        assert provider.exchanges == []

    @pytest.mark.parametrize(
        ("path", "wire"),
        [
            ("/v1/chat/completions", "openai"),
            ("/chat/completions", "openai"),
            ("/openai/deployments/m/chat/completions?api-version=1", "azure"),
            ("/openai/v1/chat/completions", "azure"),
            ("/openai/responses?api-version=preview", "azure"),
            ("/openai/v1/responses", "azure"),
            ("/v1/responses", "openai"),
            ("/v1/moderations", "openai"),
            ("/v1/messages", "anthropic"),
            ("/model/m/invoke", "bedrock"),
        ],
    )
    async def test_paths(self, provider: FakeProvider, path: str, wire: Wire) -> None:
        async with httpx.AsyncClient(trust_env=False, base_url=provider.base_url) as client:
            answer = await client.post(path, json={"model": "m"}, headers={"traceparent": "00-1"})

        assert answer.status_code == 200
        assert answer.json()
        exchange = await only_exchange(provider)
        assert (exchange.wire, exchange.model) == (wire, "m")
        assert exchange.headers["traceparent"] == "00-1"

    async def test_no_http_is_hung_up_on(self, provider: FakeProvider) -> None:
        async with Raw(provider.base_url) as client:
            client.writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
            assert await client.reader.read() == b""

    async def test_closing_ends_what_hangs(self, provider: FakeProvider) -> None:
        provider.script = Script(hang_at="before_headers")
        async with Raw(provider.base_url) as client:
            client.post()
            exchange = await provider.next_exchange()
            await exchange.wait_hanging()

            await provider.aclose()
            await provider.aclose()

            assert (exchange.how, exchange.closed_by) == ("provider_closed", "server")
            assert (provider.open_exchanges, provider.open_connections) == (0, 0)
            assert await client.reader.read() == b""
        with pytest.raises(RuntimeError, match="not running"):
            _ = provider.base_url

    async def test_burst_stops_at_the_hang(self, provider: FakeProvider) -> None:
        provider.script = Script(chunks=50, hang_at=30, burst=True)
        async with Raw(provider.base_url) as client:
            client.post(stream=True)
            exchange = await provider.next_exchange()
            await exchange.wait_hanging()
            assert exchange.chunks_sent == 30

            exchange.release()
            await exchange.wait_closed()
            assert exchange.chunks_sent == 50

    async def test_release_in_advance(self, provider: FakeProvider) -> None:
        provider.script = Script(interval=0.001, hang_at=3)
        async with Raw(provider.base_url) as client:
            client.post(stream=True)
            exchange = await provider.next_exchange()
            exchange.release()
            await exchange.wait_closed()

        assert exchange.how == "complete"

    async def test_waits_give_up(self, provider: FakeProvider) -> None:
        with pytest.raises(TimeoutError, match="the next exchange"):
            await provider.next_exchange(timeout=0)
        provider.script = Script(hang_at=2)
        async with Raw(provider.base_url) as client:
            client.post(stream=True)
            exchange = await provider.next_exchange()
            await exchange.wait_hanging()
            with pytest.raises(TimeoutError, match="3 chunks of <Exchange openai"):
                await exchange.wait_chunks(3, timeout=0)
            with pytest.raises(TimeoutError, match="the end of all exchanges"):
                await provider.wait_idle(timeout=0)
            exchange.release()
            with pytest.raises(RuntimeError, match="was over before 6 chunks"):
                await exchange.wait_chunks(6)
            await exchange.wait_chunks(5)


def test_threaded_provider_serves_a_blocked_thread() -> None:
    with ThreadedFakeProvider(Script(hang_at=1)) as threaded, Blocking(threaded.base_url) as client:
        client.post(stream=True)
        exchange = threaded.next_exchange()
        threaded.run(exchange.wait_hanging())
        assert exchange.chunks_sent == 1

        threaded.release(exchange)
        threaded.run(exchange.wait_closed())
        assert exchange.how == "complete"

        client.post(stream=True)
        second = threaded.next_exchange()
        threaded.run(second.wait_hanging())
        client.close()
        threaded.run(second.wait_closed())
        assert second.how == "client_gone"


def test_threaded_provider_passes_exceptions_on() -> None:
    with (
        ThreadedFakeProvider() as threaded,
        pytest.raises(TimeoutError, match="the next exchange"),
    ):
        threaded.next_exchange(timeout=0)


class Blocking:
    """A raw client without an event loop."""

    def __init__(self, base_url: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(base_url.rpartition(":")[2])))
        self.close = self._socket.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def post(self, **payload: Any) -> None:
        body = json.dumps({"model": "m", **payload}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        self._socket.sendall(head.encode() + b"\r\n\r\n" + body)


class TestScript:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"chunks": -1}, "chunks is -1"),
            ({"interval": -0.1}, "interval is -0.1"),
            ({"interval": float("inf")}, "interval is inf"),
            ({"status": 302}, "status is 302"),
            ({"status": 600}, "status is 600"),
            ({"ending": "bang"}, "ending is 'bang'"),
            ({"hang_at": "later"}, "hang_at is 'later'"),
            ({"hang_at": -1}, "hang_at is -1"),
            ({"hang_at": 6}, "from 0 to chunks"),
            ({"chunks": None, "burst": True}, "endless"),
            ({"chunks": None, "ending": "fin"}, "endless"),
            ({"burst": True, "interval": 1}, "burst"),
        ],
    )
    def test_says_what_is_wrong(self, values: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Script(**values)

    def test_text_is_that_of_a_complete_answer(self) -> None:
        assert Script(chunks=3).text == "word0 word1 word2"
        assert Script(chunks=0).text == ""


class TestEventStream:
    def test_frames_as_amazons_own_example_does(self) -> None:
        assert eventstream.message({}, b"").hex() == "000000100000000005c248eb7d98c8ff"

    @needs_botocore
    def test_is_read_back_by_botocore(self) -> None:
        botocore: Any = import_module("botocore.eventstream")
        buffer = botocore.EventStreamBuffer()
        buffer.add_data(eventstream.event("metadata", b'{"a":1}'))
        read = next(buffer)
        assert read.headers == {
            ":event-type": "metadata",
            ":content-type": "application/json",
            ":message-type": "event",
        }
        assert read.payload == b'{"a":1}'

        buffer.add_data(eventstream.RUBBISH)
        with pytest.raises(botocore.ChecksumMismatch):
            next(buffer)


def test_image_is_one() -> None:
    assert base64.b64decode(openai_media.PIXEL).startswith(b"\x89PNG\r\n")


def test_kwargs_name_the_provider_they_do_not_know() -> None:
    with pytest.raises(ValueError, match="'vertex_ai'"):
        litellm_kwargs("vertex_ai", "")  # type: ignore[arg-type]
