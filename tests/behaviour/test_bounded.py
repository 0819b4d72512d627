"""What a client or a provider may choose: plain in telemetry, of bounded length and number."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.plain import MOST, plain
from litellm_cancel_otel._contract.records import (
    CallFacts,
    Ending,
    Outcome,
    Reason,
    Stuck,
    Times,
    Verdict,
)
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._telemetry.instruments import MAX_PROVIDERS
from litellm_cancel_otel._tracking.snapshot import snapshot
from support.calling import Caller, chat, silent
from support.recording import ENDING, FACTS, INTERNAL, TIMES, Recording
from support.telemetry import Telemetry
from support.ticking import Ticking, by_hand

FORGED = "gpt\n2026-01-01 ERROR forged\x1b[2J\u202e\ud800" + "x" * 10_000
"""A line of its own in a log, codes for a terminal, text that turns around, and much of it."""


class TestPlain:
    @pytest.mark.parametrize("text", ["", "gpt-4o", "azure/模型", "a b", "x" * MOST])
    def test_what_is_plain_stays(self, text: str) -> None:
        assert plain(text) is text

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a\nb", "a?b"),
            ("a\x1b[0m", "a?[0m"),
            ("a\u202eb", "a?b"),
            ("a\ud800b", "a?b"),
            ("a\u2028b", "a?b"),
            ("x" * 300, "x" * (MOST - 1) + "…"),
        ],
    )
    def test_what_is_not_is_made_so(self, text: str, said: str) -> None:
        assert plain(text) == said

    @given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl"])))
    def test_any_text(self, text: str) -> None:
        said = plain(text)

        assert said.isprintable()
        assert len(said) <= MOST
        assert plain(said) == said
        said.encode()

    @pytest.mark.parametrize(
        "field", ["provider", "model", "call_id", "response_model", "server_address"]
    )
    def test_facts_of_a_call_are(self, field: str) -> None:
        facts = replace(FACTS, **{field: FORGED})  # type: ignore[arg-type]

        assert getattr(facts, field) == plain(FORGED)
        assert replace(facts, **{field: "x"}) == replace(FACTS, **{field: "x"})  # type: ignore[arg-type]

    def test_facts_that_are_long_together_stay_as_they_are(self) -> None:
        facts = replace(FACTS, model="m" * 200, call_id="i" * 200)

        assert (facts.model, facts.call_id) == ("m" * 200, "i" * 200)

    def test_two_names_that_are_told_alike_are_counted_as_one(self) -> None:
        recording = Recording()
        for end in ("one", "two"):
            facts = replace(FACTS, model=FORGED + end)
            recording.recorder.record(ENDING._replace(facts=facts), None)

        ((point),) = recording.points(sc.CALLS)
        assert (point.attributes[sc.REQUEST_MODEL], point.value) == (plain(FORGED), 2)


def every_text(span: Any) -> list[str]:
    """Return all that a span says in words."""
    values = [span.name, *(span.attributes or {}).values()]
    for event in span.events:
        values += [event.name, *(event.attributes or {}).values()]
    texts = [one for value in values for one in (value if isinstance(value, tuple) else [value])]
    return [text for text in texts if isinstance(text, str)]


class TestCall:
    @by_hand
    async def test_told_nowhere_as_it_came(
        self, telemetry: Telemetry, provider: FakeProvider, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "litellm_cancel_otel")
        ticking = Ticking(telemetry)
        provider.script = Script(hang_at=1)
        name = FORGED.replace("\ud800", "")  # which no HTTP client would send
        caller = Caller(
            chat(provider, "openai", model=f"openai/{name}", litellm_call_id=name, stream=True)
        )
        exchange = await silent(provider)
        await caller.has(1)
        for later in (0, 41, 20):
            ticking.tick(later)
        (state,) = snapshot(telemetry.tracker, 0.0, chains=True)
        caller.task.cancel()
        await caller.ended()
        await exchange.wait_closed()
        await telemetry.settled()
        ticking.tick()

        assert [state.model, state.call_id] == [plain(name)] * 2
        assert len(telemetry.spans) == 2
        for span in telemetry.spans:
            for text in every_text(span):
                assert text.isprintable()
                assert len(text) <= MOST + len("chat ")
        for metric in (sc.CALLS, sc.CANCELLATIONS, sc.STREAMS_OPEN):
            ((attributes, _),) = telemetry.points(metric)
            assert attributes[sc.REQUEST_MODEL] == plain(name)
        said = [one for one in caplog.messages if "stuck" in one]
        assert len(said) == 2
        assert all(one.isprintable() and len(one) < 2_000 for one in said)

    @pytest.mark.settings(cancel_messages=True)
    async def test_message_of_a_cancel(self, telemetry: Telemetry, provider: FakeProvider) -> None:
        provider.script = Script(hang_at="before_headers")
        caller = Caller(chat(provider, "openai"))
        await silent(provider)
        caller.task.cancel(FORGED)
        assert isinstance(await caller.ended(), asyncio.CancelledError)

        span = await telemetry.span()
        assert (span.attributes or {})[sc.CANCEL_MESSAGE] == plain(FORGED)


def test_name_of_an_error() -> None:
    recording = Recording()
    recording.recorder.record(ENDING._replace(verdict=INTERNAL, error_type=FORGED), None)

    (span,) = recording.spans
    assert (span.attributes or {})[sc.ERROR_TYPE] == plain(FORGED)


def ending(outcome: Outcome, **facts: Any) -> Ending:
    return Ending(replace(FACTS, **facts), Verdict(outcome), Times(1.0, 2.0))


def counted(recording: Recording, attribute: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for point in recording.points(sc.CALLS):
        value = point.attributes[attribute]
        found[value] = found.get(value, 0) + point.value
    return found


class TestPlaces:
    def test_calls_that_fail_take_none_of_the_models(self) -> None:
        recording = Recording()  # it has two places
        for number in range(10):
            recording.recorder.record(ending(Outcome.ERROR, model=f"made-up-{number}"), None)
        for model in ("one", "two"):
            recording.recorder.record(ending(Outcome.COMPLETED, model=model), None)
        recording.recorder.record(ending(Outcome.ERROR, model="one"), None)

        assert counted(recording, sc.REQUEST_MODEL) == {sc.OTHER: 10, "one": 2, "two": 1}

    @pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.CANCELLED])
    def test_call_that_was_answered_or_waited_for_takes_one(self, outcome: Outcome) -> None:
        recording = Recording()
        recording.recorder.record(ENDING._replace(verdict=INTERNAL._replace(outcome=outcome)), None)

        assert counted(recording, sc.REQUEST_MODEL) == {"gpt-4o": 1}

    def test_stream_that_fails_after_a_chunk_takes_one(self) -> None:
        recording = Recording()
        recording.recorder.record(ending(Outcome.ERROR, model="one")._replace(chunks=1), None)

        assert counted(recording, sc.REQUEST_MODEL) == {"one": 1}

    async def test_failing_calls_of_litellms(
        self, telemetry: Telemetry, provider: FakeProvider
    ) -> None:
        provider.script = Script(status=404)
        for number in range(3):
            await Caller(chat(provider, "openai", model=f"openai/made-up-{number}")).ended()
        provider.script = Script()
        await Caller(chat(provider, "openai", stream=True)).ended()

        models = {found[sc.REQUEST_MODEL]: value for found, value in telemetry.points(sc.CALLS)}
        assert models == {sc.OTHER: 3, "gpt-4o-mini": 1}

    def test_providers_past_the_limit_are_other(self) -> None:
        recording = Recording()
        for number in range(MAX_PROVIDERS + 5):
            facts = {"provider": f"provider-{number}"}
            recording.recorder.record(ending(Outcome.COMPLETED, **facts), None)
        recording.recorder.record(ending(Outcome.COMPLETED, provider="bedrock"), None)

        found = counted(recording, sc.PROVIDER)
        assert len(found) == MAX_PROVIDERS + 2
        assert (found[sc.OTHER], found["aws.bedrock"]) == (5, 1)

    def test_providers_of_failing_calls_are_other_but_for_the_known(self) -> None:
        recording = Recording()
        recording.recorder.record(ending(Outcome.ERROR, provider="made-up"), None)
        recording.recorder.record(ending(Outcome.ERROR, provider="anthropic"), None)

        assert counted(recording, sc.PROVIDER) == {sc.OTHER: 1, "anthropic": 1}

    def test_cancellation_types_are_bounded_with_the_providers(self) -> None:
        recording = Recording()
        for number in range(MAX_PROVIDERS + 2):
            facts = replace(FACTS, provider=f"provider-{number}")
            recording.recorder.record(ENDING._replace(verdict=INTERNAL, facts=facts), None)

        points = recording.points(sc.CANCELLATIONS)
        types = {point.attributes[sc.CANCELLATION_TYPE] for point in points}
        assert len(types) == MAX_PROVIDERS + 1
        assert "_other_internal" in types
        assert (recording.spans[-1].attributes or {})[sc.CANCELLATION_TYPE] == "_other_internal"

    def test_first_span_of_a_stuck_stream_is_plain(self) -> None:
        recording = Recording()
        stuck = Stuck(Reason.NO_CHUNK, since=0.0, found=61.0)
        facts = CallFacts("chat", FORGED, FORGED, stream=True, call_id=FORGED)
        recording.recorder.stuck(facts, TIMES, 3, stuck, Context())

        (span,) = recording.spans
        assert all(text.isprintable() and len(text) <= MOST + 5 for text in every_text(span))
