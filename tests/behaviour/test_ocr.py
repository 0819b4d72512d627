"""OCR: LiteLLM's native code makes the request, and the call is seen all the same."""

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._asyncio.cancels import cancelled_within
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support.calling import Caller, silent
from support.telemetry import Telemetry, external, internal

sdk: Any = litellm
NATIVE = hasattr(litellm, "aocr") and find_spec("litellm.ocr.dispatch") is not None
MISTRAL = {sc.OPERATION: "ocr", sc.PROVIDER: "mistral_ai", sc.REQUEST_MODEL: "mistral-ocr-latest"}

pytestmark = [
    pytest.mark.every_loop,
    pytest.mark.skipif(not hasattr(litellm, "aocr"), reason="this LiteLLM has no OCR"),
]


def made(provider: FakeProvider) -> Coroutine[Any, Any, Any]:
    """Return a call, not awaited yet."""
    made: Coroutine[Any, Any, Any] = sdk.aocr(
        model="mistral/mistral-ocr-latest",
        document={"type": "document_url", "document_url": "https://127.0.0.1/a.pdf"},
        api_base=f"{provider.base_url}/v1",
        api_key="fake-key",
    )
    return made


async def test_completed(telemetry: Telemetry, provider: FakeProvider) -> None:
    answer = await made(provider)

    assert answer.pages[0].markdown.startswith("word0")
    assert provider.exchanges[0].call.operation == "ocr"
    assert telemetry.points(sc.CALLS) == [({sc.OUTCOME: "completed", **MISTRAL}, 1)]


async def test_cancelled(telemetry: Telemetry, provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    caller = Caller(made(provider))
    exchange = await silent(provider)

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()
    span = await telemetry.assert_one(external(), **MISTRAL)
    if NATIVE:  # it asks by no client of Python's
        unknown = {sc.SERVER_ADDRESS, sc.DISCONNECT_TO_UPSTREAM_CLOSE}
        assert unknown.isdisjoint(span.attributes or {})


async def test_cancelled_inside(telemetry: Telemetry, provider: FakeProvider) -> None:
    """Nobody asks the task to stop: what LiteLLM waits for is cancelled."""
    provider.script = Script(hang_at="before_headers")
    caller = Caller(made(provider))
    await silent(provider)
    waits_for: Any = caller.task._fut_waiter  # type: ignore[attr-defined]

    waits_for.cancel()

    error = await caller.ended()
    assert isinstance(error, sdk.InternalServerError)
    assert cancelled_within(error) is not None
    await telemetry.assert_one(internal("mistral"), **MISTRAL)
