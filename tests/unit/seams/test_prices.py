"""Where the price of a token comes from: the call, its deployment, its base model, its model."""

import logging
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._seams.prices import output_price

TABLE: dict[str, Any] = {
    "gpt-4o": {"litellm_provider": "openai", "output_cost_per_token": 1e-5},
    "azure/gpt-4o": {"litellm_provider": "azure", "output_cost_per_token": 2e-5},
    "us.nova": {"litellm_provider": "bedrock_converse", "output_cost_per_token": 3e-6},
    "gemini": {"litellm_provider": "vertex_ai-language-models", "output_cost_per_token": 4e-6},
    "own": {"output_cost_per_token": 5e-6},
    "free": {"litellm_provider": "openai", "output_cost_per_token": 0},
    "image": {"litellm_provider": "openai", "output_cost_per_image": 0.04},
    "odd": 7,
}


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have LiteLLM know these prices only."""
    monkeypatch.setattr(litellm, "model_cost", dict(TABLE))


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openai", "gpt-4o", 1e-5),
        ("azure", "gpt-4o", 2e-5),
        ("bedrock", "us.nova", 3e-6),
        ("vertex_ai", "gemini", 4e-6),
        ("hosted_vllm", "own", 5e-6),
        ("openai", "gpt-4o-of-tomorrow", None),
        ("azure", "my-deployment", None),
        ("groq", "gpt-4o", None),
        ("unknown", None, None),
        ("openai", "free", 0),
        ("openai", "image", None),
        ("openai", "odd", None),
    ],
)
def test_the_tables_price_of_a_providers_model(
    provider: str, model: str | None, price: float | None
) -> None:
    assert output_price(model, provider, {}) == price


@pytest.mark.parametrize("where", ["metadata", "litellm_metadata"])
def test_a_base_model_stands_for_a_deployment(where: str) -> None:
    by_router = {"litellm_params": {where: {"model_info": {"base_model": "azure/gpt-4o"}}}}
    by_call = {"litellm_params": {"base_model": "gpt-4o", **by_router["litellm_params"]}}

    assert output_price("my-deployment", "azure", by_router) == 2e-5
    assert output_price("my-deployment", "azure", by_call) == 2e-5
    assert output_price("my-deployment", "openai", by_call) == 1e-5


def test_a_price_of_the_applications_own_comes_first() -> None:
    by_router = {"metadata": {"model_info": {"output_cost_per_token": "7e-6"}}}
    by_call = {"output_cost_per_token": 6e-6, **by_router}

    assert output_price("gpt-4o", "openai", {"litellm_params": by_router}) == 7e-6
    assert output_price("gpt-4o", "openai", {"litellm_params": by_call}) == 6e-6
    for_nothing = {"litellm_params": {"output_cost_per_token": 0}}
    assert output_price("gpt-4o", "openai", for_nothing) == 0


def test_a_price_that_is_registered_later_counts_from_then_on() -> None:
    assert output_price("llama", "hosted_vllm", {}) is None
    litellm.model_cost["hosted_vllm/llama"] = {"output_cost_per_token": 1e-7}
    assert output_price("llama", "hosted_vllm", {}) == 1e-7


@pytest.mark.parametrize(
    "price", ["much", None, -1.0, float("nan"), float("inf"), [1], pytest.param(10**400, id="huge")]
)
def test_what_is_no_price_is_passed_over(price: object) -> None:
    details = {"litellm_params": {"output_cost_per_token": price}}

    assert output_price("gpt-4o", "openai", details) == 1e-5
    litellm.model_cost["gpt-4o"] = {"output_cost_per_token": price}
    assert output_price("gpt-4o", "openai", details) is None


@pytest.mark.parametrize("details", [{"litellm_params": None}, {"litellm_params": {"metadata": 7}}])
def test_what_litellm_does_not_document_is_passed_over(details: dict[str, Any]) -> None:
    assert output_price("gpt-4o", "openai", details) == 1e-5


@pytest.mark.parametrize("provider", ["ollama", "huggingface", "nobody"])
def test_no_server_is_asked_and_nothing_is_said(
    provider: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_: asked.append(args))

    with caplog.at_level(logging.DEBUG):
        assert output_price("nobody/knows-it", provider, {}) is None
    assert (asked, caplog.records, capsys.readouterr()) == ([], [], ("", ""))


def test_without_a_table_no_price_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(litellm, "model_cost")

    assert output_price("gpt-4o", "openai", {}) is None
