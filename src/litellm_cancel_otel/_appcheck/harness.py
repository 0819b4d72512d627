"""What the fixtures of the pytest plugin are made of."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from opentelemetry.sdk.trace import ReadableSpan

from .._demo.fakes import ThreadedFakeProvider
from .environment import pointing
from .host import App
from .provider import ProviderOfTest
from .redirect import Redirect
from .served import ServedApp
from .telemetry import Watching

Serve = Callable[..., ServedApp]


@contextmanager
def fake_provider() -> Iterator[ProviderOfTest]:
    """Run a fake provider to which LiteLLM's calls go, whatever address they are made to."""
    with (
        warnings.catch_warnings(),
        ProviderOfTest() as provider,
        _environment(pointing(provider.base_url, os.environ)),
        closing(Redirect(provider.base_url)),
    ):
        # LiteLLM makes some of its coroutines in a thread, and a cancel leaves them unused.
        warnings.filterwarnings("ignore", ".* was never awaited", RuntimeWarning)
        yield provider
        gc.collect()


@contextmanager
def served_apps(provider: ThreadedFakeProvider) -> Iterator[Serve]:
    """Serve what is asked for, until the block is left."""
    with ExitStack() as stack:

        def serve(app: App, *, package: bool = False) -> ServedApp:
            return stack.enter_context(closing(ServedApp(app, provider, package=package)))

        yield serve


class Spans(Sequence[ReadableSpan]):
    """The spans of the LiteLLM calls that have ended, oldest first."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []
        self._watching = Watching(self._spans.append, package=True)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        self._watching.state()
        return self._spans[index]

    def __len__(self) -> int:
        self._watching.state()
        return len(self._spans)

    def close(self) -> None:
        """Watch no more."""
        self._watching.close()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
