"""What no cancel can stop is told once for each provider and operation, and never without end."""

import pytest

from litellm_cancel_otel._contract.records import CallFacts, Outcome
from litellm_cancel_otel._tracking.unstoppable_log import _MOST, UnstoppableLog
from support.recording import ENDING


def of(provider: str, operation: str = "image_generation") -> CallFacts:
    return CallFacts(operation, provider, "model", stream=False)


def test_each_pair_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = UnstoppableLog()
    for facts in (of("gemini"), of("gemini"), of("recraft"), of("gemini", "speech")):
        log.tell(ENDING._replace(facts=facts))

    assert len(caplog.messages) == 3
    assert "provider gcp.gemini, operation image_generation" in caplog.messages[0]


def test_no_more_pairs_are_told_than_there_may_be(caplog: pytest.LogCaptureFixture) -> None:
    log = UnstoppableLog()
    for number in range(_MOST + 5):
        log.tell(ENDING._replace(facts=of(f"made-up-{number}")))

    assert len(caplog.messages) == _MOST


def test_what_was_not_cancelled_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    verdict = ENDING.verdict._replace(outcome=Outcome.ERROR)
    UnstoppableLog().tell(ENDING._replace(facts=of("gemini"), verdict=verdict))

    assert not caplog.messages
