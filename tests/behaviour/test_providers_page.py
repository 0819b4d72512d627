"""What ``docs/providers.md`` says of the installed LiteLLM, held against it."""

import re
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest

from litellm_cancel_otel._contract import semconv as sc
from support.every_provider import MESSAGES, STREAMED, give_token
from support.telemetry import Telemetry

sdk: Any = litellm
PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    found = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", PAGE, re.DOTALL)
    assert found
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in found[1].split("\n")[2:-1]]


def test_streamed_chats_are_those_that_are_tried() -> None:
    assert [tuple(row) for row in rows("streamed")] == [
        (one.row, f"`{one.name}`") for one in STREAMED
    ]


IN_THREADS = [
    pytest.param(operation.strip("`"), provider, id=f"{operation.strip('`')}-{provider}")
    for operation, providers in rows("threads")
    for provider in re.findall(r"`(\w+)`", providers)
]
MODELS = {
    ("gemini", "image_generation"): "gemini-2.5-flash-image",
    ("vertex_ai", "image_generation"): "imagegeneration@006",
}
CALLS: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
    "chat": lambda **kwargs: sdk.acompletion(**kwargs, messages=MESSAGES),
    "embeddings": lambda **kwargs: sdk.aembedding(**kwargs, input=["hello"]),
    "image_generation": lambda **kwargs: sdk.aimage_generation(**kwargs, prompt="hello"),
}


@pytest.mark.skipif(
    f"LiteLLM {version('litellm')}," not in PAGE, reason="the page is about another LiteLLM"
)
@pytest.mark.settings(spans="all")
@pytest.mark.parametrize(("operation", "provider"), IN_THREADS)
async def test_request_is_made_in_a_thread(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, operation: str, provider: str
) -> None:
    give_token(monkeypatch)
    asked: list[str] = []

    def handle(_: Any, request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        raise httpx.ConnectError("nobody is there", request=request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    model = MODELS.get((provider, operation), "some-model")
    call = CALLS[operation](
        model=f"{provider}/{model}",
        api_base="http://provider.invalid/v1",
        api_key="fake-key",
        max_retries=0,
    )
    with pytest.raises(Exception, match="nobody is there"):
        await call

    assert "provider.invalid" in asked  # some ask for a tokenizer besides
    span = await telemetry.span()
    assert (span.attributes or {})[sc.SERVER_ADDRESS] == asked[-1]
