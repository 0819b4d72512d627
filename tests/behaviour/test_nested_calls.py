"""A call that a hook makes while another is under way is one of its own; a bridge's is not."""

from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script, litellm_kwargs
from support.calling import Caller, chat, needs_mcp
from support.telemetry import Telemetry

sdk: Any = litellm
pytestmark = pytest.mark.every_loop


class Judge(CustomLogger):
    """Asks another model before the call, or of its answer."""

    def __init__(self, provider: FakeProvider, before: bool) -> None:
        super().__init__()
        self._provider = provider
        self._before = before
        self.asked = 0

    async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
        if self._before:
            await self._ask()
        return kwargs

    async def async_post_call_success_deployment_hook(
        self, request_data: Any, response: Any, call_type: Any
    ) -> Any:
        if not self._before:
            await self._ask()
        return response

    async def _ask(self) -> None:
        if not self.asked:  # the judge's own call has hooks too
            self.asked += 1
            await chat(self._provider, "anthropic")


def by_provider(telemetry: Telemetry) -> dict[str, dict[str, int]]:
    """Return how many calls of each provider ended in which way."""
    found: dict[str, dict[str, int]] = {}
    for attributes, times in telemetry.points(sc.CALLS):
        found.setdefault(attributes[sc.PROVIDER], {})[attributes[sc.OUTCOME]] = times
    return found


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_judge_within_a_call(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    judge = Judge(provider, before)
    monkeypatch.setattr(litellm, "callbacks", [judge])

    await chat(provider, "openai")

    assert judge.asked == 1
    assert by_provider(telemetry) == {"openai": {"completed": 1}, "anthropic": {"completed": 1}}
    models = {attributes[sc.REQUEST_MODEL] for attributes, _ in telemetry.points(sc.CALLS)}
    assert models == {exchange.model for exchange in provider.exchanges}
    assert len(models) == 2


async def test_judge_fails(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "callbacks", [Judge(provider, before=True)])
    model = litellm_kwargs("anthropic", provider.base_url)["model"].partition("/")[2]
    provider.scripts[model] = Script(status=500)

    await Caller(chat(provider, "openai")).ended()

    assert by_provider(telemetry)["anthropic"] == {"error": 1}
    assert sum(by_provider(telemetry)["openai"].values()) == 1


@needs_mcp
async def test_bridge_is_one_call(telemetry: Telemetry, provider: FakeProvider) -> None:
    kwargs = litellm_kwargs("anthropic", provider.base_url)

    await sdk.aresponses(**kwargs, input="hello")

    ((attributes, times),) = telemetry.points(sc.CALLS)
    assert times == 1
    assert attributes[sc.OPERATION] == "responses"
    assert len(provider.exchanges) == 1


@pytest.mark.parametrize("retries", [1, 2])
async def test_retries_are_one_call(
    telemetry: Telemetry, provider: FakeProvider, retries: int
) -> None:
    provider.script = Script(status=500)

    assert await Caller(chat(provider, "openai", num_retries=retries)).ended() is not None

    assert len(provider.exchanges) > 1
    assert telemetry.outcomes() == {"error": 1}


async def test_judge_within_a_call_that_is_retried(
    telemetry: Telemetry, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(provider, before=True)
    monkeypatch.setattr(litellm, "callbacks", [judge])
    model = litellm_kwargs("openai", provider.base_url)["model"].partition("/")[2]
    provider.scripts[model] = Script(status=500)

    assert await Caller(chat(provider, "openai", num_retries=1)).ended() is not None

    assert by_provider(telemetry) == {"openai": {"error": 1}, "anthropic": {"completed": 1}}
