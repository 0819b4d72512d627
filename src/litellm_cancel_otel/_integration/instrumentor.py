"""No code at all: what ``opentelemetry-instrument`` finds and runs."""

from collections.abc import Awaitable, Callable, Collection
from functools import partial, wraps
from typing import Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from wrapt import register_post_import_hook

from .._contract.faults import Faults
from .._contract.settings import Settings
from .._seams.patching import Undo, replace
from .listener import Receive, Scope
from .middleware import CancellationMiddleware, Send

_LITELLM: Final = "litellm >= 1.72.2"


class CancelInstrumentor(BaseInstrumentor):
    """Creates CancelTelemetry as soon as the application imports LiteLLM.

    ``opentelemetry-instrument`` finds it under the name ``litellm_cancel``. With the setting
    ``middleware`` it also puts CancellationMiddleware around each FastAPI and Starlette
    application. ``instrument`` takes ``tracer_provider``, ``meter_provider`` and ``settings``.
    """

    _undo: "list[Undo] | None" = None

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

    def _when_imported(self, name: str, act: Callable[[Any], Undo]) -> None:
        undo = self._undo

        def imported(module: Any) -> None:
            # A hook cannot be taken back: it does nothing once that is uninstrumented.
            if undo is not None and undo is self._undo:
                with _FAULTS.contained("instrument"):  # the application's import goes on
                    undo.append(act(module))

        register_post_import_hook(imported, name)


_FAULTS: Final = Faults()


def _watch(chosen: dict[str, Any], litellm: Any) -> Undo:
    from .callback import CancelTelemetry  # imports LiteLLM

    telemetry = CancelTelemetry(**chosen)
    litellm.callbacks.append(telemetry)
    return telemetry.close


def _put_around(applications: Any) -> Undo:
    original: Callable[..., Awaitable[None]] = applications.Starlette.__call__

    @wraps(original)
    async def __call__(self: Any, scope: Scope, receive: Receive, send: Send) -> None:
        await CancellationMiddleware(partial(original, self))(scope, receive, send)

    return replace(applications.Starlette, "__call__", __call__)
