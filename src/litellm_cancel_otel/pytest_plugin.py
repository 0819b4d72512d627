"""pytest fixtures with which an application's own tests keep it right when a client leaves.

Nothing here is done unless a test asks for it: what a fixture needs is imported in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ._appcheck.harness import Serve
    from ._appcheck.provider import ProviderOfTest


@pytest.fixture
def litellm_fake_provider() -> Iterator[ProviderOfTest]:
    """A fake provider on loopback, to which every LiteLLM call of the test goes."""
    with _harness().fake_provider() as provider:
        yield provider


@pytest.fixture
def litellm_app(litellm_fake_provider: ProviderOfTest) -> Iterator[Serve]:
    """Serve an ASGI application before the fake provider: ``litellm_app(app)``."""
    with _harness().served_apps(litellm_fake_provider) as serve:
        yield serve


@pytest.fixture
def litellm_cancel_spans() -> Iterator[Sequence[ReadableSpan]]:
    """The spans of the test's LiteLLM calls, with this package at work."""
    with closing(_harness().Spans()) as spans:
        yield spans


def _harness() -> Any:
    try:
        return import_module("._appcheck.harness", __package__)
    except ModuleNotFoundError as exc:
        if exc.name not in ("h11", "starlette", "uvicorn"):
            raise
        pytest.fail(
            f"this fixture needs {exc.name}: pip install 'litellm-cancel-otel[demo]'",
            pytrace=False,
        )
