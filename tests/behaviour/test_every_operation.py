"""Operations besides the usual ones: each is seen under its own name, cancelled or dying inside."""

import asyncio
import gc
import importlib
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import aiohttp
import litellm
import openai
import pytest
from litellm.llms.custom_httpx.aiohttp_transport import LiteLLMAiohttpTransport

from litellm_cancel_otel._asyncio.cancels import cancelled_within
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import aclose_litellm_clients
from support.calling import MESSAGES, Caller
from support.hanging import HangingProvider
from support.telemetry import Telemetry, external, internal
from support.transports import Dying

sdk: Any = litellm
pytestmark = [
    pytest.mark.every_loop,
    # LiteLLM makes a client for some of these, and leaves it to the garbage collector; which may
    # come in another test, so that what is left is closed below.
    pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning"),
    # The openai SDK says so of every call of the Assistants API.
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

OPENAI = {"custom_llm_provider": "openai"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "video_generation": ("avideo_generation", {"prompt": "hello", "model": "openai/sora-2"}),
    "video_status": ("avideo_status", {"video_id": "video_1", **OPENAI}),
    "search": ("asearch", {"query": "hello", "search_provider": "tavily"}),
    "vector_store_search": (
        "vector_stores.asearch",
        {"vector_store_id": "vs_1", "query": "hello", **OPENAI},
    ),
    "vector_store_file_list": ("avector_store_file_list", {"vector_store_id": "vs_1", **OPENAI}),
    "compact_responses": ("acompact_responses", {"input": "hello", "model": "openai/gpt-4o"}),
    "get_responses": ("aget_responses", {"response_id": "resp_1", **OPENAI}),
    "create_interaction": (
        "interactions.acreate",
        {"model": "gemini/gemini-2.5-flash", "input": "hello"},
    ),
    "create_batch": (
        "acreate_batch",
        {
            "completion_window": "24h",
            "endpoint": "/v1/chat/completions",
            "input_file_id": "file-1",
            **OPENAI,
        },
    ),
    "cancel_batch": ("acancel_batch", {"batch_id": "batch_1", **OPENAI}),
    "create_file": (
        "acreate_file",
        {"file": ("a.jsonl", b"{}"), "purpose": "batch", **OPENAI},
    ),
    "file_content": ("afile_content", {"file_id": "file-1", **OPENAI}),
    "list_fine_tuning_jobs": ("alist_fine_tuning_jobs", OPENAI),
    "get_assistants": ("aget_assistants", OPENAI),
    "list_containers": ("alist_containers", OPENAI),
    "count_tokens": (
        "acount_tokens",
        {"model": "anthropic/claude-sonnet-4-5", "messages": MESSAGES},
    ),
}
PROVIDERS = {"search": "tavily", "count_tokens": "anthropic", "create_interaction": "gemini"}
every_operation = pytest.mark.parametrize("operation", CASES)


def function(path: str) -> Any:
    """Return one of LiteLLM's functions; skip the test where this LiteLLM has it not."""
    package, _, name = path.rpartition(".")
    try:
        owner = importlib.import_module(f"litellm.{package}") if package else litellm
        return getattr(owner, name)
    except (ImportError, AttributeError):
        pytest.skip(f"this LiteLLM has no {path}")


@pytest.fixture
async def hanging() -> AsyncIterator[HangingProvider]:
    async with HangingProvider() as running:
        yield running
        await aclose_litellm_clients()
        await close_sessions()


async def close_sessions() -> None:
    """Close what LiteLLM has opened for one call alone, and leaves to the collector."""
    for one in gc.get_objects():
        if issubclass(type(one), aiohttp.ClientSession) and not one.closed:
            await one.close()


def made(hanging: HangingProvider, operation: str) -> Any:
    """Return the call, not awaited yet."""
    path, kwargs = CASES[operation]
    more = {} if operation == "count_tokens" else {"max_retries": 0}
    return function(path)(**kwargs, **more, api_base=hanging.base_url, api_key="a-key")


@every_operation
async def test_cancelled(telemetry: Telemetry, hanging: HangingProvider, operation: str) -> None:
    caller = Caller(made(hanging, operation))
    await hanging.asked()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    assert caller.around.passed_on
    await hanging.left()
    host, port = hanging.base_url.removeprefix("http://").split(":")
    await telemetry.assert_one(
        external(),
        **{
            sc.OPERATION: operation,
            sc.PROVIDER: sc.provider_name(PROVIDERS.get(operation, "openai")),
            sc.SERVER_ADDRESS: host,
            sc.SERVER_PORT: int(port),
        },
    )


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Dying:
    """Cancels every exchange inside the HTTP client, before it is sent; ``times`` says how many."""
    dying = Dying("connect")
    for transport in transports():
        monkeypatch.setattr(transport, "handle_async_request", dies_in(transport, dying))
    return dying


def transports() -> list[Any]:
    """Return the classes that carry requests: LiteLLM's own, and those of the SDKs it uses."""
    libraries = [name for name in ("httpx", "httpx2") if find_spec(name)]
    plain = [importlib.import_module(name).AsyncHTTPTransport for name in libraries]
    return [LiteLLMAiohttpTransport, *plain]


def dies_in(transport: Any, dying: Dying) -> Any:
    """Return what stands in for the way in which a transport carries a request."""
    carry = transport.handle_async_request

    async def handle_async_request(self: Any, request: Any) -> Any:
        await dying.at("connect")
        return await carry(self, request)

    return handle_async_request


@every_operation
async def test_internal_cancel(
    telemetry: Telemetry, hanging: HangingProvider, dying: Dying, operation: str
) -> None:
    caller = Caller(made(hanging, operation))

    error = await caller.ended()

    assert isinstance(error, openai.APIError)  # the base of every error of LiteLLM's
    assert cancelled_within(error) is not None
    assert caller.task.cancelling() == 0
    assert hanging.targets == []
    provider = PROVIDERS.get(operation, "openai")
    await telemetry.assert_one(internal(provider), **{sc.OPERATION: operation})


async def test_router_retries_an_internal_cancel(
    telemetry: Telemetry, hanging: HangingProvider, dying: Dying
) -> None:
    function("avideo_generation")
    dying.times = 1
    where = {"api_base": hanging.base_url, "api_key": "a-key", "max_retries": 0}
    router = sdk.Router(
        model_list=[
            {"model_name": "mine", "litellm_params": {"model": "openai/sora-2", **where}},
        ],
        num_retries=1,
        retry_after=0,
    )
    caller = Caller(router.avideo_generation(model="mine", prompt="hello"))
    assert await hanging.asked() == "/videos"

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    found = {point[sc.CANCELLATION_TYPE] for point, _ in telemetry.points(sc.CANCELLATIONS)}
    assert found == {"external", "openai_internal"}
    assert {point[sc.OPERATION] for point, _ in telemetry.points(sc.CALLS)} == {"video_generation"}
    await hanging.left()


SECRET = "a-secret-of-the-user"
POSITIONAL: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "text_completion": ("atext_completion", (SECRET, "openai/gpt-3.5-turbo-instruct"), "gpt-3.5"),
    "search": ("asearch", (SECRET, "tavily"), "unknown"),
    "compact_responses": ("acompact_responses", (SECRET, "openai/gpt-4o"), "gpt-4o"),
    "file_retrieve": ("afile_retrieve", (SECRET, "openai"), "unknown"),
    "count_tokens": ("acount_tokens", ("anthropic/claude-sonnet-4-5", MESSAGES), "claude"),
}


@pytest.mark.parametrize("operation", POSITIONAL)
async def test_only_the_model_is_taken_for_the_model(
    telemetry: Telemetry, hanging: HangingProvider, operation: str
) -> None:
    path, args, model = POSITIONAL[operation]
    caller = Caller(function(path)(*args, api_base=hanging.base_url, api_key="a-key"))
    await hanging.asked()

    caller.task.cancel()
    await caller.ended()

    span = await telemetry.assert_one(external(), **{sc.OPERATION: operation})
    assert str((span.attributes or {})[sc.REQUEST_MODEL]).startswith(model)
    assert SECRET not in span.to_json()
    await hanging.left()


@pytest.mark.settings(spans="all")
async def test_a_call_that_fails_at_once_does_not_tell_its_prompt(telemetry: Telemetry) -> None:
    """LiteLLM itself takes the first argument for the model, and knows no such model."""
    with pytest.raises(openai.APIError):
        await sdk.aimage_generation(SECRET, "openai/dall-e-3")

    span = await telemetry.span()
    assert (span.attributes or {})[sc.REQUEST_MODEL] == "dall-e-3"
    assert SECRET not in span.to_json()


async def test_a_query_of_a_store_is_one_call(
    telemetry: Telemetry, hanging: HangingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM searches the store and then asks a model: functions of its own, both of them."""
    monkeypatch.setenv("OPENAI_BASE_URL", hanging.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    caller = Caller(
        function("aquery")(
            model="openai/gpt-4o",
            messages=MESSAGES,
            retrieval_config={"vector_store_id": "vs_1", "custom_llm_provider": "openai"},
            api_base=hanging.base_url,
        )
    )
    await hanging.asked()

    caller.task.cancel()

    assert isinstance(await caller.ended(), asyncio.CancelledError)
    await telemetry.assert_one(external(), **{sc.OPERATION: "query"})
    await hanging.left()
