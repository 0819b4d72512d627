"""What is found on the installed LiteLLM: every operation, under its name, or listed as none."""

import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import litellm
import pytest
from litellm.utils import client

from litellm_cancel_otel._seams import not_watched
from litellm_cancel_otel._seams.entry_points import EXPECTED, discover, is_decorated, reached

sdk: Any = litellm


def found() -> dict[str, str]:
    """Return the name of each entry point's operation, by where it is."""
    return {str(entry): entry.operation.name for entry in discover()}


def watched() -> set[int]:
    """Return the ids of the functions that are watched."""
    return {id(function) for entry in discover() for function in entry.functions()}


def test_the_usual_operations_have_the_names_of_the_semantic_conventions() -> None:
    names = found()

    assert {name: names[f"litellm.{name}"] for name in EXPECTED} == {
        "acompletion": "chat",
        "atext_completion": "text_completion",
        "aembedding": "embeddings",
        "aresponses": "responses",
        "anthropic_messages": "messages",
        "aimage_generation": "image_generation",
        "aimage_edit": "image_edit",
        "aimage_variation": "image_variation",
        "atranscription": "transcription",
        "aspeech": "speech",
        "amoderation": "moderation",
        "arerank": "rerank",
        "allm_passthrough_route": "pass_through",
    }


@pytest.mark.parametrize(
    ("where", "operation"),
    [
        ("litellm.acreate_batch", "create_batch"),
        ("litellm.acancel_batch", "cancel_batch"),
        ("litellm.acreate_file", "create_file"),
        ("litellm.afile_content", "file_content"),
        ("litellm.alist_fine_tuning_jobs", "list_fine_tuning_jobs"),
        ("litellm.aget_responses", "get_responses"),
        ("litellm.a_add_message", "add_message"),
        ("litellm.acount_tokens", "count_tokens"),
        ("litellm.aocr", "ocr"),
        ("litellm.asearch", "search"),
        ("litellm.avideo_generation", "video_generation"),
        ("litellm.acompact_responses", "compact_responses"),
        ("litellm.acreate_agent", "create_agent"),
        ("litellm.agenerate_content", "generate_content"),
        ("litellm.google_genai.agenerate_content_stream", "generate_content"),
        ("litellm.vector_stores.asearch", "vector_store_search"),
        ("litellm.interactions.acreate", "create_interaction"),
        ("litellm.containers.adelete_container_file", "delete_container_file"),
    ],
)
def test_others_have_litellms_name_without_its_a(where: str, operation: str) -> None:
    module, _, name = where.rpartition(".")
    if not hasattr(sys.modules.get(module), name):
        pytest.skip(f"this LiteLLM has no {where}")

    assert found()[where] == operation


def is_litellms(function: object) -> bool:
    return str(getattr(function, "__module__", "")).startswith("litellm")


def test_every_coroutine_function_of_litellm_is_watched_or_listed_as_not() -> None:
    mine = watched()
    forgotten = [
        name
        for name, value in vars(litellm).items()
        if inspect.iscoroutinefunction(value)
        and is_litellms(value)
        and name not in not_watched.FUNCTIONS
        and id(value) not in mine
    ]

    assert forgotten == []


def test_every_coroutine_function_that_the_router_offers_is_watched_or_listed_as_not() -> None:
    mine, names = watched(), set(found())
    params = {"model": "openai/gpt-4o", "api_key": "a-key"}
    router = sdk.Router(model_list=[{"model_name": "mine", "litellm_params": params}])

    def is_known(name: str, method: Any) -> bool:
        if name in not_watched.ROUTER or name.startswith(not_watched.ROUTER_OWN):
            return True
        bound = inspect.getclosurevars(inspect.unwrap(method)).nonlocals.get("original_function")
        if bound is None:  # a method: it makes a call of LiteLLM's function of that name
            vector_store = name.replace("avector_store_", "vector_stores.a")
            return not {f"litellm.{name}", f"litellm.{vector_store}"}.isdisjoint(names)
        if not inspect.iscoroutinefunction(bound):
            return True  # LiteLLM's synchronous function
        return id(bound) in mine or bound.__name__ in not_watched.FUNCTIONS

    offered = {name: getattr(router, name) for name in dir(router) if not name.startswith("_")}
    forgotten = [
        name
        for name, method in offered.items()
        if inspect.iscoroutinefunction(method) and not is_known(name, method)
    ]

    assert forgotten == []


def test_nothing_that_is_listed_as_not_watched_is_watched() -> None:
    mine = watched()

    for name in not_watched.FUNCTIONS:
        assert not any(id(one) in mine for one in reached(getattr(litellm, name, None), name)), name


def test_no_function_is_found_twice() -> None:
    functions = [id(function) for entry in discover() for function in entry.functions()]

    assert len(functions) == len(set(functions))


def test_helpers_that_ask_no_provider_are_none() -> None:
    names = {where.rpartition(".")[2] for where in found()}

    assert names.isdisjoint(
        {"ahealth_check", "close_litellm_async_clients", "stream_chunk_builder"}
    )


@client
async def aforecast(city: str, model: str | None = None, **kwargs: Any) -> str:
    """Stand for an operation of a LiteLLM to come."""
    return city


async def acloud(city: str) -> str:
    """Stand for one that is not decorated."""
    return city


@pytest.fixture
def from_litellm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this module's functions look like LiteLLM's own, for as long as a test runs."""
    name = acloud.__globals__["__name__"]
    acloud.__globals__["__name__"] = "litellm.main"
    yield
    acloud.__globals__["__name__"] = name


def test_a_new_decorated_operation_is_found_under_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "aforecast", aforecast, raising=False)
    monkeypatch.setattr(litellm, "forecast", lambda city, model=None: city, raising=False)

    (entry,) = [entry for entry in discover() if entry.name == "aforecast"]

    assert entry.operation.name == "forecast"
    assert entry.operation.model_at == 1
    assert entry.is_decorated


def test_a_new_operation_without_a_rule_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "aforecast", aforecast, raising=False)

    assert found()["litellm.aforecast"] == "aforecast"


@pytest.mark.usefixtures("from_litellm")
def test_one_that_is_not_decorated_is_found_where_it_has_a_synchronous_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acloud", acloud, raising=False)
    assert "litellm.acloud" not in found()

    monkeypatch.setattr(litellm, "cloud", lambda city: city, raising=False)
    assert found()["litellm.acloud"] == "cloud"


def test_a_function_of_another_package_is_none_of_litellms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acloud", acloud, raising=False)
    monkeypatch.setattr(litellm, "cloud", lambda city: city, raising=False)

    assert "litellm.acloud" not in found()


def test_the_operations_of_a_new_package_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("litellm.weather")
    main = ModuleType("litellm.weather.main")
    package.aforecast = aforecast  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm.weather", package)
    monkeypatch.setitem(sys.modules, "litellm.weather.main", main)

    assert found()["litellm.weather.aforecast"] == "aforecast"


def test_one_is_decorated_whatever_litellm_calls_its_variables() -> None:
    (function,) = reached(aforecast, "aforecast")

    assert is_decorated(function)
    assert not is_decorated(aforecast.__wrapped__)  # type: ignore[attr-defined]
