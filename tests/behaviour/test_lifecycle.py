"""Creating, closing and several of it: LiteLLM is as it was, and nothing is kept."""

import asyncio
import gc
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import litellm
import pytest

from litellm_cancel_otel import CancelTelemetry
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._seams.azure import HANDLERS
from litellm_cancel_otel._seams.entry_points import discover
from support import children, warm
from support.calling import Caller, chat, silent
from support.telemetry import Telemetry, cancel_of, external

sdk: Any = litellm

STATE = f"""
import asyncio, importlib, importlib.util, litellm, types

def functions(function):
    seen = []
    while function is not None and function not in seen:
        seen.append(function)
        function = getattr(function, "__wrapped__", None)
    return [one for one in seen if isinstance(one, types.FunctionType)]

def state():
    found = []
    for module, name in {[(entry.module, entry.name) for entry in discover()]!r}:
        try:
            public = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
        for function in functions(public):
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            found.append((function, function.__code__, function.__kwdefaults__, *cells))
    for module, owner, name in {HANDLERS!r}:
        found.append(vars(getattr(importlib.import_module(module), owner))[name])
    for library in ("httpx", "httpx2"):
        if importlib.util.find_spec(library):
            found.append(importlib.import_module(library).AsyncClient.send)
    found.append(asyncio.Timeout._on_timeout)
    found.append(getattr(asyncio.tasks, "_cancel_and_wait", None))
    found.append(list(litellm.callbacks))
    return found
"""


def alone(code: str) -> str:
    """Run code in a process of its own, which has made no telemetry yet; return what it prints."""
    ended = warm.run(
        "import warnings; warnings.simplefilter('ignore')\n" + STATE + textwrap.dedent(code)
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_importing_changes_nothing_and_closing_puts_everything_back() -> None:
    code = textwrap.dedent(
        """
        before = state()
        import litellm_cancel_otel
        print(state() == before)
        telemetry = litellm_cancel_otel.CancelTelemetry()
        watched = state()
        print(sum(one != other for one, other in zip(watched, before, strict=True)) > 20)
        telemetry.close()
        print(state() == before)
        with litellm_cancel_otel.CancelTelemetry():
            again = state()
        print(sum(one != other for one, other in zip(again, before, strict=True)) > 20)
        print(state() == before)
        """
    )

    ended = children.run([sys.executable, "-W", "ignore", "-c", STATE + code], timeout=60)

    assert ended.stdout.split() == ["True"] * 5, ended.stderr


def test_closing_puts_back_only_what_is_ours() -> None:
    """Where somebody has patched over a seam since, theirs stays, and works."""
    said = alone(
        """
        import httpx, litellm_cancel_otel
        telemetry = litellm_cancel_otel.CancelTelemetry()
        ours = httpx.AsyncClient.send
        async def theirs(*args, **kwargs):
            return await ours(*args, **kwargs)
        httpx.AsyncClient.send = theirs
        telemetry.close()
        print(httpx.AsyncClient.send is theirs)
        """
    )

    assert said.split() == ["True"]


CALLS = """
def ask():
    answer = asyncio.run(litellm.acompletion(model="gpt-4o", messages=[], mock_response="hello"))
    return answer.choices[0].message.content
"""


def test_closing_leaves_the_code_that_another_has_put_into_an_entry_point_since() -> None:
    said = alone(
        CALLS
        + """
import litellm_cancel_otel
telemetry = litellm_cancel_otel.CancelTelemetry()
theirs = litellm.acompletion.__code__.replace(co_name="theirs")
litellm.acompletion.__code__ = theirs
telemetry.close()
print(litellm.acompletion.__code__ is theirs, ask())
        """
    )

    assert said.split() == ["True", "hello"]


def test_closing_leaves_what_another_has_put_behind_litellms_decorator_since() -> None:
    said = alone(
        CALLS
        + """
import litellm_cancel_otel
from litellm_cancel_otel._seams.entry_points import reached
from litellm_cancel_otel._seams.exchange import decorated_cell
telemetry = litellm_cancel_otel.CancelTelemetry()
cell = decorated_cell(reached(litellm.acompletion, "acompletion")[-1])
ours = cell.cell_contents
async def theirs(*args, **kwargs):
    print("theirs")
    return await ours(*args, **kwargs)
cell.cell_contents = theirs
telemetry.close()
print(cell.cell_contents is theirs, ask())
        """
    )

    assert said.split() == ["theirs", "True", "hello"]


def test_closing_twice_is_no_fault() -> None:
    telemetry = CancelTelemetry()
    telemetry.close()
    telemetry.close()


async def test_every_seam_is_there() -> None:
    with Telemetry() as telemetry:
        assert telemetry.callback.missing_seams == ()


@pytest.mark.every_loop
async def test_newest_of_two_records(provider: FakeProvider) -> None:
    with Telemetry() as older:
        with Telemetry() as newer:
            await chat(provider, "openai")

            assert (older.outcomes(), newer.outcomes()) == ({}, {"completed": 1})

        await chat(provider, "openai")

        assert older.outcomes() == {"completed": 1}


@pytest.mark.every_loop
async def test_older_of_two_is_closed_first(provider: FakeProvider) -> None:
    older, newer = Telemetry(), Telemetry()
    with newer:
        with older:
            pass
        await chat(provider, "openai")

        assert newer.outcomes() == {"completed": 1}


@pytest.mark.every_loop
async def test_call_goes_on_across_a_close(provider: FakeProvider) -> None:
    provider.script = Script(hang_at=2)
    with Telemetry():
        caller = Caller(chat(provider, "openai", stream=True))
        exchange = await silent(provider)
        await caller.has(2)
    exchange.release()

    assert await caller.ended() is None
    assert caller.task.result() == provider.script.text


@pytest.mark.every_loop
async def test_cancel_across_a_close_stays_the_same_object(provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    with Telemetry():
        caller = Caller(chat(provider, "azure"))
        exchange = await silent(provider)
    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await exchange.wait_closed()


@pytest.mark.every_loop
async def test_cancel_belongs_to_whom_its_call_began_with(provider: FakeProvider) -> None:
    provider.script = Script(hang_at="before_headers")
    with Telemetry() as older:
        caller = Caller(chat(provider, "openai"))
        await silent(provider)
        with Telemetry() as newer:
            caller.task.cancel()
            await caller.ended()

            assert cancel_of((await older.span()).attributes or {}) == external()
            assert newer.outcomes() == {}


async def test_works_as_litellms_callback(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [telemetry.callback])
    provider.script = Script(hang_at="before_headers")
    try:
        caller = Caller(chat(provider, "openai"))
        await silent(provider)
        caller.task.cancel()
        await caller.ended()
        await telemetry.assert_one(external())
    finally:
        sdk.logging_callback_manager._reset_all_callbacks()


async def ends_completed(provider: FakeProvider) -> None:
    caller = Caller(chat(provider, "openai", stream=True))
    assert await caller.ended() is None


async def ends_cancelled(provider: FakeProvider) -> None:
    provider.script = Script(hang_at=2)
    caller = Caller(chat(provider, "openai", stream=True))
    exchange = await silent(provider)
    await caller.has(2)
    caller.task.cancel()
    await caller.ended()
    await exchange.wait_closed()


async def ends_closed(provider: FakeProvider) -> None:
    provider.script = Script(chunks=None)
    stream = await chat(provider, "openai", stream=True)
    await anext(stream)
    await stream.aclose()


def reached_from(record: object) -> set[str]:
    """Return the modules of what a record of ours refers to, through others of ours."""
    modules: set[str] = set()
    seen: set[int] = set()
    left = [record]
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        modules.add(type(one).__module__)
        if type(one).__module__.startswith("litellm_cancel_otel"):
            left += gc.get_referents(one)
    return modules


@pytest.mark.parametrize("ending", [ends_completed, ends_cancelled, ends_closed])
async def test_nothing_of_litellms_is_kept_by_a_call_that_ended(
    telemetry: Telemetry, provider: FakeProvider, ending: Callable[[FakeProvider], Any]
) -> None:
    """A connection in a pool keeps the context that it was made in, and the call's record in it."""
    begin, calls = telemetry.tracker.begin, []

    def noted(describe: Any, **more: Any) -> Any:
        calls.append(begin(describe, **more))
        return calls[-1]

    telemetry.tracker.begin = noted  # type: ignore[method-assign]
    await ending(provider)
    await provider.wait_idle()
    await telemetry.settled()
    (call,) = calls

    assert not [name for name in reached_from(call) if name.startswith("litellm.")]
    assert call.driving.task is None


@pytest.mark.parametrize("ending", [ends_completed, ends_cancelled, ends_closed])
async def test_stream_is_freed_once_it_ended(
    telemetry: Telemetry, provider: FakeProvider, ending: Callable[[FakeProvider], Any]
) -> None:
    opened, streams = telemetry.tracker.opened, []

    def noted(call: Any) -> None:
        streams.append(call.stream)
        opened(call)

    telemetry.tracker.opened = noted  # type: ignore[method-assign]
    await ending(provider)
    await provider.wait_idle()
    await telemetry.settled()
    gc.collect()

    assert [stream() for stream in streams] == [None]


async def test_beside_litellms_own_otel_callback(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    theirs = OpenTelemetry(config=OpenTelemetryConfig(exporter=exporter))
    monkeypatch.setattr(litellm, "callbacks", [theirs, telemetry.callback])
    try:
        await chat(provider, "openai")
        await provider.next_exchange()
        provider.script = Script(hang_at="before_headers")
        caller = Caller(chat(provider, "openai"))
        exchange = await silent(provider)
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        await exchange.wait_closed()
        span = await telemetry.span()
        assert (span.attributes or {})[sc.CANCELLATION_TYPE] == "external"
        assert telemetry.outcomes() == {"completed": 1, "cancelled": 1}
        ours = span.instrumentation_scope
        assert ours is not None
        assert all(
            one.instrumentation_scope is None or one.instrumentation_scope.name != ours.name
            for one in exporter.get_finished_spans()
        )
    finally:
        sdk.logging_callback_manager._reset_all_callbacks()
