"""The coroutine functions of LiteLLM's that are no call of their own, each with its reason."""

from collections.abc import Iterator
from typing import Final

_INNER: Final = "each LiteLLM call that it makes is watched"
_SESSION: Final = "a websocket session, which lasts as long as its client wants"

FUNCTIONS: Final = {
    "acompletion_with_retries": _INNER,
    "aresponses_with_retries": _INNER,
    "aresponses_api_with_mcp": _INNER,
    "aadapter_completion": _INNER,
    "aadapter_generate_content": _INNER,
    "async_completion_with_fallbacks": _INNER,
    "arun_tool_loop": _INNER,
    "maybe_run_chat_completion_agentic_loop": _INNER,
    "ahealth_check": _INNER,
    "ahealth_check_wildcard_models": _INNER,
    "realtime_health_check": _SESSION,
    "_arealtime": _SESSION,
    "_aresponses_websocket": _SESSION,
    "close_litellm_async_clients": "it asks no provider",
}
"""Functions of ``litellm``."""

PACKAGES: Final = {
    "litellm.a2a_protocol": "it asks an agent, not a provider",
}
"""Packages of LiteLLM's none of whose functions is watched."""

ROUTER: Final = {
    "aadapter_completion": _INNER,
    "abatch_completion": _INNER,
    "abatch_completion_fastest_response": _INNER,
    "abatch_completion_one_model_multiple_requests": _INNER,
    "schedule_acompletion": _INNER,
    "aguardrail": "it asks a guardrail, not a provider; each LiteLLM call of that is watched",
    "arefresh_model_info": "it asks what a deployment's model is, not the model",
    "aclose": "it asks no provider",
    "make_call": "it limits how many calls run at once; the calls are watched",
}
"""Methods of ``litellm.Router`` that stand for no function of LiteLLM's which is watched."""

ROUTER_OWN: Final = ("async_", "deployment_", "get_", "increment_", "set_")
"""How the names of those methods of the Router begin that only choose and count deployments."""


def markdown() -> str:
    """Return the table for the documentation."""
    return "\n".join(["| not watched | because |", "|---|---|", *_rows()])


def _rows() -> Iterator[str]:
    for owner, names in (("litellm", FUNCTIONS), ("litellm.Router", ROUTER)):
        reasons: dict[str, list[str]] = {}
        for name, reason in names.items():
            reasons.setdefault(reason, []).append(f"`{owner}.{name}`")
        yield from (f"| {', '.join(named)} | {reason} |" for reason, named in reasons.items())
    for name, reason in PACKAGES.items():
        yield f"| the functions of `{name}` | {reason} |"
    begin = ", ".join(f"`{prefix}*`" for prefix in ROUTER_OWN)
    yield f"| `litellm.Router`'s {begin} | they choose and count deployments |"
