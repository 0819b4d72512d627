"""A cancel at every await point of a call and of a stream, and a second one while it unwinds."""

import asyncio
import gc
import os
from collections.abc import Iterator


import pytest
from calling import Caller, chat
from conftest import LOOPS
from hypothesis import HealthCheck, given, settings, strategies as st
from telemetry import Telemetry

from litellm_cancel_otel import _semconv as sc
from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    FakeProvider,
    Script,
    Wire,
    aclose_litellm_clients,
)

EXAMPLES = int(os.environ.get("LITELLM_CANCEL_OTEL_EXAMPLES", "60"))
POINTS = 24
"""More than the suspensions of the longest call; past the last one it is not cancelled at all."""

# LiteLLM makes its provider's coroutine in a thread: a cancel meanwhile leaves it unawaited.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")

every_point = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class World:
    """A loop with a fake provider in it, kept from one example to the next."""

    def __init__(self, loop: str) -> None:
        self.runner = asyncio.Runner(loop_factory=LOOPS[loop])
        self.provider = FakeProvider()
        self.runner.run(self.provider.__aenter__())

    def close(self) -> None:
        self.runner.run(aclose_litellm_clients())
        self.runner.run(self.provider.aclose())
        self.runner.close()
        gc.collect()  # what was left unawaited, in this file and not in the next


@pytest.fixture(scope="module", params=list(LOOPS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


async def cancelled_at(
    provider: FakeProvider, name: Wire, stream: bool, first: int, then: int
) -> None:
    provider.exchanges.clear()
    provider._returned = 0
    provider.script = Script(chunks=3)
    with Telemetry() as telemetry:
        points = {first, first + then} if then else {first}
        caller = Caller(chat(provider, name, stream=stream), cancel_at=points)
        came_out = await caller.ended()

        await provider.wait_idle()
        if caller.around.cancels == 0:
            assert came_out is None
            assert telemetry.outcomes() == {"completed": 1}
        elif came_out is None:  # the last await of all was LiteLLM's own, which catches a cancel
            ((attributes, ended),) = telemetry.points(sc.CALLS)
            assert (attributes[sc.OUTCOME], ended) == ("completed", 1)
        else:
            assert isinstance(came_out, asyncio.CancelledError)
            assert caller.around.passed_on
            span = await telemetry.span()
            assert (span.attributes or {})[sc.CANCELLATION_TYPE] == "external"
            assert (span.attributes or {})[sc.SOURCE] == "task_cancel"
            assert telemetry.outcomes() == {"cancelled": 1}
        telemetry.assert_nothing_open()


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@every_point
@given(
    name=st.sampled_from(PROVIDERS),
    first=st.integers(1, POINTS),
    then=st.integers(0, 4),
)
def test_cancel_at_an_await_point(
    world: World, stream: bool, name: Wire, first: int, then: int
) -> None:
    world.runner.run(cancelled_at(world.provider, name, stream, first, then))
