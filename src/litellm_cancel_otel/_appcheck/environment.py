"""The variables that point LiteLLM and the providers' clients at a fake provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_KEY: Final = "fake-key"

_KEYS: Final = (
    *("OPENAI_API_KEY", "AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GROQ_API_KEY", "MISTRAL_API_KEY"),
    *("OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "XAI_API_KEY", "TOGETHERAI_API_KEY"),
    *("FIREWORKS_AI_API_KEY", "PERPLEXITYAI_API_KEY", "COHERE_API_KEY", "GEMINI_API_KEY"),
)
"""Without these LiteLLM would refuse to call at all."""

_NOT: Final = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AZURE_AD_TOKEN", "OTEL_SDK_DISABLED")

_LOOPBACK: Final = "127.0.0.1"


def pointing(base_url: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to set so that a fake provider is called, and never a real key sent."""
    return {
        **dict.fromkeys(_KEYS, _KEY),
        "OPENAI_API_BASE": f"{base_url}/v1",
        "OPENAI_BASE_URL": f"{base_url}/v1",
        "AZURE_API_BASE": base_url,
        "AZURE_OPENAI_ENDPOINT": base_url,
        "AZURE_API_VERSION": known.get("AZURE_API_VERSION", "2024-10-21"),
        "ANTHROPIC_API_BASE": base_url,
        "ANTHROPIC_BASE_URL": base_url,
        "AWS_BEDROCK_RUNTIME_ENDPOINT": base_url,
        "AWS_REGION_NAME": known.get("AWS_REGION_NAME", "us-east-1"),
        # LiteLLM would fetch its table of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **{name: _also(known.get(name)) for name in ("NO_PROXY", "no_proxy")},
    }


def for_process(base_url: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of an application's own process.

    What it does here is no traffic: an exporter that it has by the standard variables stays silent.
    """
    kept = {name: value for name, value in known.items() if name not in _NOT}
    silent = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    return {**kept, **silent, **pointing(base_url, known)}


def _also(hosts: str | None) -> str:
    return f"{hosts},{_LOOPBACK}" if hosts else _LOOPBACK
