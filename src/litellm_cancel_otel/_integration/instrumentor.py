"""No code at all: what ``opentelemetry-instrument`` finds and runs.

It does so in every Python process. So nothing here imports LiteLLM before the application does.
"""

import sys
from collections.abc import Awaitable, Callable, Collection
from functools import partial, wraps
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]  # it says that it has no types
    BaseInstrumentor,
)
from wrapt import register_post_import_hook

from .._contract.faults import Faults
from .._contract.settings import Settings

_LITELLM: Final = "litellm >= 1.72.2"

_Undo = Callable[[], None]


class CancelInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # as above
    """Creates CancelTelemetry as soon as the application imports LiteLLM.

    ``opentelemetry-instrument`` finds it under the name ``litellm_cancel``. With the setting
    ``middleware`` it also puts CancellationMiddleware around each FastAPI and Starlette
    application. ``instrument`` takes ``tracer_provider``, ``meter_provider`` and ``settings``.
    """

    _undo: list[_Undo] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what it instruments."""
        return (_LITELLM,)

    def _instrument(self, **kwargs: Any) -> None:
        known = ("tracer_provider", "meter_provider", "settings")
        chosen = {name: kwargs[name] for name in known if kwargs.get(name) is not None}
        settings = chosen.setdefault("settings", Settings.from_env(strict=False))
        self._undo = []
        self._when_imported("litellm", partial(_watch, chosen))
        if settings.middleware:
            self._when_imported("starlette.applications", _put_around)

    def _uninstrument(self, **kwargs: Any) -> None:
        undo, self._undo = self._undo or [], None
        while undo:
            with _FAULTS.contained("uninstrument"):
                undo.pop()()

    def _when_imported(self, name: str, act: Callable[[Any], _Undo]) -> None:
        undo = self._undo

        def imported(module: Any) -> None:
            # A hook cannot be taken back: it does nothing once that is uninstrumented.
            if undo is not None and undo is self._undo:
                with _FAULTS.contained("instrument"):  # the application's import goes on
                    undo.append(act(module))

        register_post_import_hook(imported, name)


_FAULTS: Final = Faults()


def _watch(chosen: dict[str, Any], litellm: Any) -> _Undo:
    from .callback import CancelTelemetry  # imports LiteLLM

    telemetry = CancelTelemetry(**chosen)
    litellm.callbacks.append(telemetry)
    return telemetry.close


def _put_around(applications: Any) -> _Undo:
    starlette = applications.Starlette
    original: Callable[..., Awaitable[None]] = starlette.__call__

    @wraps(original)
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:
        app: Callable[..., Awaitable[None]] = partial(original, self)
        if "litellm" in sys.modules:
            from .middleware import CancellationMiddleware

            app = CancellationMiddleware(app)
        await app(scope, receive, send)

    def undo() -> None:
        if starlette.__call__ is __call__:
            starlette.__call__ = original

    starlette.__call__ = __call__
    return undo
