"""What every test shares: the loops it runs on, a telemetry in memory, a fake provider."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before litellm is imported: no network

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import hypothesis  # noqa: F401 - it asks who refers to trio's generator: before the freeze below
import litellm
import pytest
from litellm import acompletion

from elsewhere import plugin
from litellm_cancel_otel._demo.fakes import (
    PROVIDERS,
    FakeProvider,
    aclose_litellm_clients,
    litellm_kwargs,
)
from support import thorough
from support.children import take_default_signals
from support.loops import LOOPS, LoopFactory
from support.thorough import one_of

pytest.register_assert_rewrite("support.telemetry")

from support.telemetry import OLD, Telemetry  # noqa: E402 - its asserts are rewritten from here on

litellm.suppress_debug_info = True


@pytest.hookimpl(optionalhook=True)  # the other environments have no xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Say what ``-n auto`` means: one process a core, unless other environments need the cores."""
    config.option.loadscopereorder = False  # the unit tests last: small enough to fill what is left
    cores = min(os.cpu_count() or 1, 4)
    return 0 if cores == 1 or plugin.wanted(config) else cores


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks of these tests, and what the oldest LiteLLM warns of."""
    take_default_signals()
    config.pluginmanager.register(plugin, "elsewhere")
    config.addinivalue_line("markers", "every_loop: run on the plain loop, uvloop and eager tasks")
    config.addinivalue_line("markers", f"long: {thorough.LEFT_OUT}")
    config.addinivalue_line("markers", "settings(**chosen): what `telemetry` is created with")
    if OLD:
        # Its aiohttp transport leaves the connection of a broken-off answer to the collector.
        config.addinivalue_line("filterwarnings", "ignore:Unclosed connection:ResourceWarning")


def pytest_report_header(config: pytest.Config) -> str:
    """Say whether the long tests are run."""
    return f"long tests: {'run' if thorough.wanted(config) else thorough.LEFT_OUT}"


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist what its command line does not."""
    node.workerinput[thorough.WANTED] = thorough.wanted(node.config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests, where nobody asks for them."""
    if not thorough.wanted(config):
        long = {item for item in items if item.get_closest_marker("long")}
        config.hook.pytest_deselected(items=list(long))
        items[:] = [item for item in items if item not in long]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """Multiply only the tests that are marked for it."""
    if item.get_closest_marker("every_loop"):
        if thorough.wanted(config):
            return LOOPS
        name = one_of(tuple(LOOPS), item.nodeid)
        return {name: LOOPS[name]}
    return {"asyncio": LOOPS["asyncio"]}


@pytest.fixture(autouse=True)
def no_callbacks_left() -> Iterator[None]:
    """LiteLLM copies callbacks to lists of its own, and keeps 30 at the most."""
    yield
    litellm.logging_callback_manager._reset_all_callbacks()


@pytest.fixture
def telemetry(request: pytest.FixtureRequest) -> Iterator[Telemetry]:
    """A CancelTelemetry whose exporters are in memory; nothing may stay open behind a test."""
    mark = request.node.get_closest_marker("settings")
    with Telemetry(**(mark.kwargs if mark else {})) as running:
        yield running
        running.assert_nothing_open()


def warm_up() -> None:
    """Call each provider once: LiteLLM imports much at the first call, for seconds."""

    async def calls() -> None:
        async with FakeProvider() as running:
            for name in PROVIDERS:
                if name != "bedrock" or find_spec("botocore"):
                    kwargs = litellm_kwargs(name, running.base_url)
                    await acompletion(**kwargs, messages=[{"role": "user", "content": "hello"}])
            await aclose_litellm_clients()

    asyncio.run(calls())


@pytest.fixture(scope="session")
def warm() -> None:
    """Let no test wait for what LiteLLM imports at its first calls."""
    warm_up()
    gc.collect()
    gc.freeze()  # what is there by now stays: a collection in a test looks at that test's objects


@pytest.fixture
async def provider(warm: None) -> AsyncIterator[FakeProvider]:
    """A fake provider in the test's own loop; LiteLLM's clients are closed behind the test."""
    async with FakeProvider() as running:
        yield running
        await aclose_litellm_clients()
