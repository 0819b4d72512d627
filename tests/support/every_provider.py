"""How each provider of ``docs/providers.md`` is called, so that a fake one answers."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
from litellm.llms.vertex_ai.vertex_llm_base import VertexBase

from litellm_cancel_otel._demo.fakes import litellm_kwargs

from .telemetry import OLD

KEY = "fake-key"
MESSAGES = [{"role": "user", "content": "hello"}]


class Provider(NamedTuple):
    """One provider: its row in the table, its name in telemetry, and the arguments of a call."""

    row: str
    name: str
    kwargs: Callable[[str], dict[str, Any]]

    def chat(self, base_url: str) -> dict[str, Any]:
        """Return the arguments of one streamed chat that is tried once."""
        return {**self.kwargs(base_url), "messages": MESSAGES, "stream": True, "max_retries": 0}


def _compatible(model: str) -> Callable[[str], dict[str, Any]]:
    """Return the arguments for a provider that speaks OpenAI's format."""
    return lambda base: {"model": model, "api_base": f"{base}/v1", "api_key": KEY}


def _vertex(base: str) -> dict[str, Any]:
    place = "v1/projects/p/locations/l/publishers/google/models/gemini-2.0-flash"
    return {
        "model": "vertex_ai/gemini-2.0-flash",
        "vertex_project": "p",
        "vertex_location": "us-central1",
        "api_base": f"{base}/{place}",
    }


def _cohere(base: str) -> dict[str, Any]:
    version = "v1" if OLD else "v2"
    return {**litellm_kwargs("cohere", base), "api_base": f"{base}/{version}/chat"}


# No name of a Llama: LiteLLM would ask Hugging Face for its tokenizer. No Ollama model that
# LiteLLM does not know: it would ask Ollama for it, in the thread of the loop.
STREAMED = (
    Provider("OpenAI", "openai", lambda base: litellm_kwargs("openai", base)),
    Provider("Azure OpenAI", "azure.ai.openai", lambda base: litellm_kwargs("azure", base)),
    Provider("Anthropic", "anthropic", lambda base: litellm_kwargs("anthropic", base)),
    Provider("Bedrock", "aws.bedrock", lambda base: litellm_kwargs("bedrock", base)),
    Provider("Gemini", "gcp.gemini", lambda base: litellm_kwargs("gemini", base)),
    Provider("Vertex AI", "gcp.vertex_ai", _vertex),
    Provider("Cohere", "cohere", _cohere),
    Provider("Mistral", "mistral_ai", _compatible("mistral/mistral-small-latest")),
    Provider("Groq", "groq", _compatible("groq/openai/gpt-oss-20b")),
    Provider("Ollama", "ollama", lambda base: litellm_kwargs("ollama", base)),
    Provider("vLLM", "hosted_vllm", _compatible("hosted_vllm/mine")),
    Provider("OpenRouter", "openrouter", _compatible("openrouter/openai/gpt-4o")),
    Provider("Databricks", "databricks", _compatible("databricks/dbrx-instruct")),
)
"""Those whose streamed chat is seen from its start to its upstream's close."""

NEEDS_BOTOCORE = pytest.mark.skipif(
    find_spec("botocore") is None, reason="LiteLLM calls Bedrock through botocore"
)
every_streamed = pytest.mark.parametrize(
    "who",
    [
        pytest.param(one, id=one.row, marks=NEEDS_BOTOCORE if one.row == "Bedrock" else ())
        for one in STREAMED
    ],
)


def give_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare Vertex AI's calls Google's library, which would ask Google for an access token."""

    def token(*_args: object, **_kwargs: object) -> tuple[str, str]:
        return "token", "project"

    async def token_async(*_args: object, **_kwargs: object) -> tuple[str, str]:
        return token()

    monkeypatch.setattr(VertexBase, "get_access_token", token)
    monkeypatch.setattr(VertexBase, "get_access_token_async", token_async, raising=False)
