"""No code at all: ``opentelemetry-instrument python app.py``, with the real command."""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from support import children
from support.otlp_sink import OtlpSink, ReceivedSpan

COMMAND = Path(sys.executable).with_name("opentelemetry-instrument")

pytestmark = pytest.mark.skipif(
    not COMMAND.exists() and os.environ.get("REQUIRE_ALL_TESTS") != "1",
    reason="opentelemetry-distro is not installed",
)

INSTALLED = entry_points(group="opentelemetry_instrumentor")
OTHERS = sorted({one.name for one in INSTALLED} - {"litellm_cancel"})
"""Instrumentations that this environment may have besides."""

FACE = """
import asyncio, sys
import litellm
from litellm_cancel_otel._demo.fakes import (
    FakeProvider, Script, aclose_litellm_clients, litellm_kwargs)

def asked(provider, **more):
    kwargs = litellm_kwargs("openai", provider.base_url)
    return {**kwargs, "messages": [{"role": "user", "content": "hello"}], **more}
"""

CANCELS = (
    FACE
    + """
async def main():
    async with FakeProvider(Script(hang_at="before_headers")) as provider:
        task = asyncio.create_task(litellm.acompletion(**asked(provider)))
        await (await provider.next_exchange(60)).wait_hanging()
        task.cancel()
        await asyncio.wait([task])
        print(task.cancelled(), [type(one).__name__ for one in litellm.callbacks])
        await aclose_litellm_clients()

asyncio.run(main())
"""
)

STREAMS = (
    FACE
    + """
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def main():
    gone = asyncio.Event()
    async with FakeProvider(Script(hang_at=2)) as provider:

        async def answer(request):
            stream = await litellm.acompletion(**asked(provider, stream=True))
            return StreamingResponse(pieces(stream))

        async def pieces(stream):
            async for _ in stream:
                yield b"piece"

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            pass

        async def leave():
            await (await provider.next_exchange(60)).wait_hanging()
            gone.set()

        app = Starlette(routes=[Route("/", answer)])
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "path": "/",
                 "method": "GET", "headers": [], "query_string": b"", "http_version": "1.1"}
        leaving = asyncio.create_task(leave())
        await app(scope, receive, send)
        await leaving
        await aclose_litellm_clients()

asyncio.run(main())
"""
)


def run(tmp_path: Path, sink: OtlpSink, code: str, **environ: str) -> list[str]:
    """Run an application as a user does who writes no code; return what it prints."""
    application = tmp_path / "app.py"
    application.write_text(code)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    chosen = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_CANCEL_OTEL_TOP_SOCKET": "off",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(OTHERS),
        **sink.env("http/protobuf"),
        **environ,
    }
    ended = children.run(
        [COMMAND, sys.executable, "-W", "ignore", application], env=inherited | chosen
    )
    assert ended.returncode == 0, ended.stderr
    assert "go nowhere" not in ended.stderr
    return ended.stdout.splitlines()


def spans(sink: OtlpSink) -> list[ReceivedSpan]:
    return [span for span in sink.spans if span.scope == "litellm_cancel_otel"]


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def test_the_installed_package_says_where_its_instrumentor_is() -> None:
    assert [one.value for one in INSTALLED if one.name == "litellm_cancel"] == [
        "litellm_cancel_otel._integration.instrumentor:CancelInstrumentor"
    ], "this installation is older than the entry point: pip install --no-deps -e ."


def test_cancelled_call_is_told_without_a_line_of_code(tmp_path: Path, sink: OtlpSink) -> None:
    said = run(tmp_path, sink, CANCELS)

    assert said == ["True ['CancelTelemetry']"]
    (span,) = spans(sink)
    assert span.attributes["cancellation_type"] == "external"
    assert span.resource["service.name"] == "shop"
    assert "litellm_cancel.cancellations" in {metric.name for metric in sink.metrics}


@pytest.mark.long
def test_disabled_instrumentation_does_nothing(tmp_path: Path, sink: OtlpSink) -> None:
    disabled = ",".join([*OTHERS, "litellm_cancel"])
    said = run(tmp_path, sink, CANCELS, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)

    assert said == ["True []"]
    assert spans(sink) == []


def test_application_that_does_not_use_litellm_does_not_load_it(
    tmp_path: Path, sink: OtlpSink
) -> None:
    assert run(tmp_path, sink, "import sys; print('litellm' in sys.modules)") == ["False"]


@pytest.mark.parametrize(
    ("middleware", "signal"),
    [("on", "asgi_receive"), ("off", "cancel")],
)
@pytest.mark.long
def test_middleware_stands_around_the_application_where_the_setting_asks_for_it(
    tmp_path: Path, sink: OtlpSink, middleware: str, signal: str
) -> None:
    run(tmp_path, sink, STREAMS, LITELLM_CANCEL_OTEL_MIDDLEWARE=middleware)

    (span,) = spans(sink)
    assert span.attributes["litellm_cancel.signal"] == signal
    source = "client_disconnect" if middleware == "on" else "task_cancel"
    assert span.attributes["litellm_cancel.source"] == source
