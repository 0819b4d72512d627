"""Which patterns of ``stuck_limits`` can match nothing: no such provider, or another before it."""

import pytest

from litellm_cancel_otel._contract.limit_patterns import idle

PROVIDERS = ("azure", "openai", "openrouter", "bedrock")


@pytest.mark.parametrize(
    "patterns",
    [
        (),
        ("azure", "openai/o3*", "*"),
        ("azure.ai.openai", "aws.bedrock/anthropic*"),
        ("azure/gpt-4o", "azure"),
        ("openai/gpt-4?", "openai/gpt-4*"),
        ("openai/o3*", "open*"),
    ],
)
def test_these_have_each_something_to_match(patterns: tuple[str, ...]) -> None:
    assert list(idle(patterns, PROVIDERS)) == []


@pytest.mark.parametrize(
    ("patterns", "named", "reason"),
    [
        (["azur/gpt-4o"], "azur/gpt-4o", "no provider azur; the nearest name is azure"),
        (["AZURE"], "AZURE", "no provider AZURE"),
        (["azure", "azure/gpt-4o"], "azure/gpt-4o", "azure stands before it"),
        (["azure", "azure.ai.openai"], "azure.ai.openai", "azure stands before it"),
        (["aws.bedrock/*", "bedrock/x"], "bedrock/x", "aws.bedrock/* stands before it"),
        (["open*", "openai/o3"], "openai/o3", "open* stands before it"),
        (["openai/gpt*", "openai/gpt-4*"], "openai/gpt-4*", "openai/gpt* stands before it"),
        (["*", "azure"], "azure", "* stands before it"),
    ],
)
def test_this_has_nothing_to_match(patterns: list[str], named: str, reason: str) -> None:
    ((pattern, why),) = idle(patterns, PROVIDERS)
    assert pattern == named
    assert reason in why
