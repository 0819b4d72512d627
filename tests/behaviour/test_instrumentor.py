"""``instrument()`` and ``uninstrument()``: what comes is taken back, and no fault comes out."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import litellm
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette

import litellm_cancel_otel
from litellm_cancel_otel import CancelTelemetry, Settings
from litellm_cancel_otel._demo.fakes import FakeProvider
from support.calling import chat

pytestmark = pytest.mark.skipif(
    find_spec("wrapt") is None and os.environ.get("REQUIRE_ALL_TESTS") != "1",
    reason="opentelemetry-instrumentation is not installed",
)

acompletion: Any = litellm.acompletion
CODE = acompletion.__code__
CALL = Starlette.__call__


@pytest.fixture
def instrumentor() -> Iterator[Any]:
    found: Any = litellm_cancel_otel.CancelInstrumentor()
    yield found
    if found.is_instrumented_by_opentelemetry:
        found.uninstrument()


def chosen(**more: Any) -> dict[str, Any]:
    """Return what it is instrumented with: providers whose telemetry goes nowhere."""
    settings = Settings(top_socket=None, **more)
    meters = MeterProvider(shutdown_on_exit=False)
    return {"tracer_provider": TracerProvider(), "meter_provider": meters, "settings": settings}


def ours() -> list[CancelTelemetry]:
    return [one for one in litellm.callbacks if isinstance(one, CancelTelemetry)]


async def test_uninstrument_takes_everything_back(
    instrumentor: Any, provider: FakeProvider
) -> None:
    instrumentor.instrument(**chosen(middleware=True))
    assert len(ours()) == 1
    assert acompletion.__code__ is not CODE
    assert Starlette.__call__ is not CALL

    instrumentor.uninstrument()

    assert ours() == []
    assert acompletion.__code__ is CODE
    assert Starlette.__call__ is CALL
    await chat(provider, "openai")


def test_it_can_come_and_go_more_than_once(instrumentor: Any) -> None:
    for _ in range(3):
        instrumentor.instrument(**chosen())
        assert len(ours()) == 1
        instrumentor.uninstrument()
    assert ours() == []


def test_instrumenting_twice_makes_one(instrumentor: Any) -> None:
    instrumentor.instrument(**chosen())
    instrumentor.instrument(**chosen())

    assert len(ours()) == 1


def test_the_middleware_stays_away_unless_the_setting_asks_for_it(instrumentor: Any) -> None:
    instrumentor.instrument(**chosen())

    assert Starlette.__call__ is CALL


def test_callbacks_that_are_there_stay(instrumentor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "callbacks", ["theirs"])
    instrumentor.instrument(**chosen())
    assert litellm.callbacks == ["theirs", *ours()]
    instrumentor.uninstrument()
    assert litellm.callbacks == ["theirs"]


def test_fault_of_ours_does_not_come_out_of_the_applications_import(
    instrumentor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("planted")

    monkeypatch.setattr("litellm_cancel_otel._integration.callback.CancelTelemetry", fails)
    instrumentor.instrument(**chosen())

    assert litellm.callbacks == []
