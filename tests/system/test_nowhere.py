"""When the log says that telemetry goes nowhere: at the first call, and only if it still does."""

import os

from support import children, warm

CODE = """
import warnings
warnings.simplefilter("ignore")
import asyncio, litellm
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from litellm_cancel_otel import CancelTelemetry, Settings

def ask():
    asyncio.run(litellm.acompletion(model="gpt-4o", messages=[], mock_response="hello"))

def provide():
    provider = TracerProvider()
    show = ConsoleSpanExporter(formatter=lambda span: f"span {span.name}\\n")
    provider.add_span_processor(SimpleSpanProcessor(show))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))

litellm.callbacks.append(CancelTelemetry(settings=Settings(spans="all", top_socket=None)))
"""


def alone(code: str) -> children.Ended[str]:
    """Run code in a process whose OpenTelemetry nobody has set up."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = warm.run(CODE + code, env=environ)
    assert ended.returncode == 0, ended.stderr
    return ended


def test_nothing_is_said_where_the_provider_is_set_later_and_spans_arrive() -> None:
    ended = alone("provide(); ask()")

    assert ended.stdout.splitlines() == ["span chat gpt-4o"]
    assert "go nowhere" not in ended.stderr


def test_it_is_said_once_where_there_is_none_by_the_first_call() -> None:
    ended = alone("print('made', flush=True); ask(); ask()")

    assert ended.stderr.count("traces and metrics go nowhere: ") == 1


def test_nothing_is_said_where_no_call_is_made() -> None:
    assert "go nowhere" not in alone("").stderr
