"""How LiteLLM is told to call a fake provider."""

from __future__ import annotations

from typing import Any

from litellm_cancel_otel._demo.fakes.wire.base import Wire

PROVIDERS: tuple[Wire, ...] = ("azure", "openai", "anthropic", "bedrock")
"""The providers of the demo: those whose clients differ most."""

_MODELS: dict[Wire, str] = {
    "azure": "gpt-4o",
    "openai": "gpt-4o-mini",
    "anthropic": "claude-3-5-sonnet-20241022",
    "bedrock": "anthropic.claude-3-5-sonnet-20240620-v1:0",
    "gemini": "gemini-2.0-flash",
    "cohere": "command-r",
    "ollama": "mistral",
}
_FAKE_KEY = "fake-key"


def litellm_kwargs(provider: Wire, base_url: str, model: str | None = None) -> dict[str, Any]:
    """The arguments with which ``litellm.acompletion`` and its like reach a fake provider.

    ``model`` is the model or deployment name as the wire shows it, without LiteLLM's prefix.
    Raises ValueError for a provider that has no fake.
    """
    if provider not in _MODELS:
        raise ValueError(f"provider is {provider!r}, must be one of {tuple(_MODELS)}")
    kwargs: dict[str, Any] = {"model": f"{provider}/{model or _MODELS[provider]}"}
    match provider:
        case "azure":
            kwargs |= {
                "api_base": base_url,
                "api_key": _FAKE_KEY,
                "api_version": "2024-10-21",
            }
        case "openai":
            kwargs |= {"api_base": f"{base_url}/v1", "api_key": _FAKE_KEY}
        case "anthropic":
            kwargs |= {"api_base": base_url, "api_key": _FAKE_KEY}
        case "bedrock":
            kwargs |= {
                "aws_bedrock_runtime_endpoint": base_url,
                "aws_access_key_id": _FAKE_KEY,
                "aws_secret_access_key": _FAKE_KEY,
                "aws_region_name": "us-east-1",
            }
        case "gemini":  # LiteLLM 1.72 puts nothing but the operation behind the address
            address = f"{base_url}/v1beta/models/{model or _MODELS[provider]}"
            kwargs |= {"api_base": address, "api_key": _FAKE_KEY}
        case "cohere":
            kwargs |= {"api_base": f"{base_url}/v2/chat", "api_key": _FAKE_KEY}
        case "ollama":
            kwargs |= {"api_base": base_url}
    return kwargs
