"""A cancel at every await point of a call and of a stream, and a second one while it unwinds."""

import asyncio
import gc
import os
from collections.abc import Iterator

import httpx
import litellm
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    FakeProvider,
    Script,
    Wire,
    aclose_litellm_clients,
)
from support.calling import Caller, chat
from support.loops import LOOPS
from support.telemetry import Telemetry, assert_in_order, cancel_of
from support.transports import Pausing

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "40"))
POINTS = 10
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
def world(request: pytest.FixtureRequest, warm: None) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


@pytest.fixture(scope="module")
def pausing(world: World) -> Iterator[World]:
    """The same, with an HTTP client whose closes suspend: else nothing is left to be cancelled."""
    world.runner.run(aclose_litellm_clients())
    with pytest.MonkeyPatch.context() as patch:
        client = httpx.AsyncClient(transport=Pausing())
        patch.setattr(litellm, "aclient_session", client)
        yield world
        world.runner.run(client.aclose())
    world.runner.run(aclose_litellm_clients())


async def cancelled_at(provider: FakeProvider, name: Wire, stream: bool, *points: int) -> None:
    """Make a call, cancel it at these suspensions, and assert what holds wherever they are."""
    provider.exchanges.clear()
    provider._returned = 0
    provider.script = Script(chunks=3)
    with Telemetry() as telemetry:
        caller = Caller(chat(provider, name, stream=stream), cancel_at=points)
        came_out = await caller.ended()
        await provider.wait_idle()

        if not caller.around.cancels:
            assert came_out is None
            assert telemetry.outcomes() == {"completed": 1}
        else:
            assert isinstance(came_out, asyncio.CancelledError)
            assert caller.around.passed_on
            if telemetry.outcomes() == {"completed": 1}:  # it had the finish_reason already
                assert stream
                assert all(exchange.chunks_sent >= 3 for exchange in provider.exchanges)
                return
            span = await telemetry.span()
            said = cancel_of(span.attributes or {})
            assert (said.type, said.source) == ("external", "task_cancel")
            assert telemetry.outcomes() == {"cancelled": 1}
            assert_in_order(span)
        telemetry.assert_nothing_open()


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@every_point
@given(name=st.sampled_from(PROVIDERS), point=st.integers(1, POINTS))
def test_cancelled_at_an_await_point(world: World, stream: bool, name: Wire, point: int) -> None:
    world.runner.run(cancelled_at(world.provider, name, stream, point))


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@every_point
@given(
    name=st.sampled_from(["azure", "openai"]),
    first=st.integers(1, POINTS),
    then=st.integers(1, 3),
)
def test_cancelled_again_while_it_unwinds(
    pausing: World, stream: bool, name: Wire, first: int, then: int
) -> None:
    world = pausing
    world.runner.run(cancelled_at(world.provider, name, stream, first, first + then))
