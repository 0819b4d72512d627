"""Faults planted in the package's own parts: the caller never notices, and they are counted."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from litellm_cancel_otel import CancelTelemetry
from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._calls.upstream import Upstream
from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.settings import PREFIX
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._integration.feed import Feed
from litellm_cancel_otel._seams import calls, facts, streams, upstream
from support.calling import Caller, chat, silent, streamed_or_not
from support.recording import FACTS
from support.telemetry import OLD, Telemetry

sdk: Any = litellm


class Planted(Exception):
    """A fault that a test put there."""


def fails(*_: Any, **__: Any) -> Any:
    raise Planted


@pytest.fixture
def faulty() -> Iterator[Telemetry]:
    """A telemetry in which faults are expected."""
    with Telemetry() as running:
        yield running
        assert not running.tracker.streams


def plant(telemetry: Telemetry, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one part of the package fail from now on."""
    recorder = telemetry.tracker.recorder
    targets: dict[str, tuple[Any, str]] = {
        "tracer": (recorder._spans._tracer, "start_span"),
        "meter": (recorder.instruments._cancellations, "add"),
        "histogram": (recorder.instruments._to_finally, "record"),
        "counting": (recorder.instruments, "count"),
        "guarded": (recorder.instruments, "guarded"),
        "describe": (facts.FromLiteLLM, "facts"),
        "begin": (telemetry.tracker, "begin"),
        "opened": (telemetry.tracker, "opened"),
        "watch_result": (calls, "watch_result"),
        "watched_type": (streams, "watched_type"),
        "watch_close": (upstream, "_watch_close"),
        "classify": (__import__("litellm_cancel_otel._calls.ending", fromlist=["x"]), "classify"),
    }
    owner, name = targets[place]
    monkeypatch.setattr(owner, name, fails)


PLACES = (
    *("tracer", "meter", "histogram", "counting", "describe", "begin", "opened"),
    *("watch_result", "watched_type", "watch_close", "classify"),
)


UNWATCHED = ("describe", "begin", "opened", "watch_result", "watched_type", "watch_close")


@pytest.mark.every_loop
@streamed_or_not
@pytest.mark.parametrize("place", PLACES)
async def test_cancelled_caller_never_notices(
    faulty: Telemetry,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    stream: bool,
) -> None:
    plant(faulty, place, monkeypatch)
    provider.script = Script(hang_at=1)
    caller = Caller(chat(provider, "openai", stream=stream))
    exchange = await silent(provider)
    if stream:
        await caller.has(1)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    # LiteLLM 1.72 leaves a stream's response open; what is not watched, nobody closes.
    if not (OLD and stream and place in UNWATCHED):
        await exchange.wait_closed()


@pytest.mark.every_loop
@streamed_or_not
@pytest.mark.parametrize("place", PLACES)
async def test_served_caller_never_notices(
    faulty: Telemetry,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    stream: bool,
) -> None:
    plant(faulty, place, monkeypatch)
    caller = Caller(chat(provider, "openai", stream=stream))

    assert await caller.ended() is None
    if stream:
        assert caller.task.result() == provider.script.text


@pytest.mark.parametrize("place", ["describe", "guarded"])
async def test_served_caller_never_notices_a_fault_of_the_guards(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    provider.script = Script(chunks=50, burst=True)
    with Telemetry(checkpoint_interval=1e-9) as telemetry:  # at every chunk
        plant(telemetry, place, monkeypatch)
        caller = Caller(chat(provider, "openai", stream=True))

        assert await caller.ended() is None

    assert caller.task.result() == provider.script.text


@pytest.mark.every_loop
@pytest.mark.parametrize("place", ["describe", "classify", "tracer"])
async def test_internal_cancel_reaches_litellm_all_the_same(
    faulty: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    from support.transports import Dying, session

    plant(faulty, place, monkeypatch)
    client = session("httpx", Dying("connect"))
    monkeypatch.setattr(litellm, "aclient_session", client)
    try:
        error = await Caller(chat(provider, "azure")).ended()
    finally:
        await client.aclose()

    assert error is not None


@pytest.mark.parametrize("place", ["tracer", "meter", "describe", "classify"])
async def test_fault_is_counted_and_logged_once(
    faulty: Telemetry,
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    plant(faulty, place, monkeypatch)
    provider.script = Script(hang_at="before_headers")
    for _ in range(3):
        caller = Caller(chat(provider, "openai"))
        await silent(provider)
        caller.task.cancel()
        await caller.ended()

    faulty.tracker.settle()
    assert sum(faulty.tracker.faults.counts.values()) == 3
    records = [one for one in caplog.records if one.name == "litellm_cancel_otel"]
    assert [one.levelno for one in records] == [logging.WARNING]
    assert "Planted" in records[0].getMessage()
    assert "test_faults.py" in records[0].getMessage()
    assert records[0].exc_info is None


async def test_what_is_logged_of_a_fault_quotes_no_answer(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    provider.script = Script(chunks=50, burst=True)
    with Telemetry(checkpoint_interval=1e-9) as telemetry:  # while a chunk is being raised
        plant(telemetry, "guarded", monkeypatch)
        await Caller(chat(provider, "openai", stream=True)).ended()

    told = [one for one in caplog.records if one.name == "litellm_cancel_otel"]
    assert told
    assert "word0" not in caplog.text


async def test_exporter_that_fails(faulty: Telemetry, provider: FakeProvider) -> None:
    class Fails(SpanExporter):
        export = fails

    faulty.tracer_provider.add_span_processor(SimpleSpanProcessor(Fails()))
    provider.script = Script(hang_at="before_headers")
    caller = Caller(chat(provider, "openai"))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()


def test_log_handler_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litellm_cancel_otel._contract.faults.log.warning", fails)
    faults = Faults()

    faults.note("a place", ValueError())

    assert faults.counts == {"a place": 1}


class Raises(logging.Handler):
    """A log handler of the application's that fails."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.met.append(record.getMessage())
        raise Planted


@pytest.fixture
def raising() -> Iterator[Raises]:
    handler = Raises()
    logger = logging.getLogger("litellm_cancel_otel")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class TestLogHandlerThatRaises:
    """Whatever the package has to say, who creates it, or runs a loop, does not notice."""

    def test_variables(self, raising: Raises, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(f"{PREFIX}GARD", "off")
        monkeypatch.setenv(f"{PREFIX}MAX_MODELS", "many")
        CancelTelemetry(
            tracer_provider=TracerProvider(), meter_provider=MeterProvider(shutdown_on_exit=False)
        ).close()

        unknown, unfit = raising.met
        assert "is no setting" in unknown
        assert "the default 100 holds" in unfit

    def test_seam_that_is_missing(self, raising: Raises, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(litellm, "arerank")
        with Telemetry() as telemetry:
            assert len(telemetry.callback.missing_seams) == 1

        assert "litellm.arerank" in raising.met[0]

    def test_socket_that_cannot_be_served(self, raising: Raises, tmp_path: Path) -> None:
        feed = Feed(str(tmp_path / "nowhere" / "top"), list, Faults())

        assert feed.open() is None
        feed.close()
        assert "cannot be served" in raising.met[0]

    async def test_providers_response_whose_close_is_given_up(self, raising: Raises) -> None:
        class Hangs:
            def is_closed(self) -> bool:
                return False

            def is_read(self) -> bool:
                return False

            async def close(self) -> None:
                await asyncio.Event().wait()

        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with Telemetry(close_timeout=0.01) as telemetry:
            guard, upstream = telemetry.tracker.guard, Upstream(None, None)
            assert guard is not None
            upstream.connection = Hangs()
            call = telemetry.tracker.begin(Known(FACTS))
            guard.close_upstream(call, upstream)
            (closing,) = guard.closing.tasks
            await asyncio.wait([closing])

            assert closing.exception() is None
        assert told == []
        assert "given up" in raising.met[0]


class TestUnknownLiteLLM:
    """What still fits is installed; what does not is named in one warning."""

    def one_warning(self, caplog: pytest.LogCaptureFixture) -> str:
        records = [one for one in caplog.records if one.name == "litellm_cancel_otel"]
        (warning,) = [one for one in records if one.levelno == logging.WARNING]
        return warning.getMessage()

    async def test_entry_point_that_is_gone(
        self,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.delattr(litellm, "arerank")

        with Telemetry() as telemetry:
            (missing,) = telemetry.callback.missing_seams
            assert "litellm.arerank" in missing
            assert "litellm.arerank" in self.one_warning(caplog)
            await chat(provider, "openai")

            assert telemetry.outcomes() == {"completed": 1}

    async def test_entry_point_that_is_no_coroutine_function(
        self,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(litellm, "amoderation", lambda: None)

        with Telemetry() as telemetry:
            assert "litellm.amoderation" in self.one_warning(caplog)
            await chat(provider, "openai")

            assert telemetry.outcomes() == {"completed": 1}

    async def test_azure_handler_that_is_gone(
        self,
        provider: FakeProvider,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        from litellm.llms.azure.azure import AzureChatCompletion

        monkeypatch.delattr(AzureChatCompletion, "aembedding")

        with Telemetry() as telemetry:
            assert "AzureChatCompletion.aembedding" in self.one_warning(caplog)
            provider.script = Script(hang_at="before_headers")
            caller = Caller(chat(provider, "azure"))
            await silent(provider)
            caller.task.cancel()

            assert isinstance(await caller.ended(), asyncio.CancelledError)
            assert telemetry.outcomes() == {"cancelled": 1}

    def test_several_are_named_in_one_warning(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for name in ("arerank", "aspeech", "aembedding"):
            monkeypatch.delattr(litellm, name)

        with Telemetry():
            said = self.one_warning(caplog)

        assert all(f"litellm.{name}" in said for name in ("arerank", "aspeech", "aembedding"))

    def test_seam_that_fails_in_a_way_nobody_foresaw(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(upstream, "install", fails)

        with Telemetry() as telemetry:
            assert len(telemetry.callback.missing_seams) == 1
            assert "Planted" in self.one_warning(caplog)
