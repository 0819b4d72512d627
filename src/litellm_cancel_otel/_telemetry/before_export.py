"""Has something done before the application flushes or stops its own providers.

A call's end is recorded a moment after it, in a thread. An application that flushes its provider
right behind the call gets that call's span too.
"""

import functools
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakMethod

from opentelemetry import metrics, trace
from opentelemetry.metrics._internal import _ProxyMeterProvider

from .._contract.faults import Faults

_METHODS: Final = ("force_flush", "shutdown")

_CURRENT: Final[dict[type, Callable[[], object]]] = {
    trace.ProxyTracerProvider: trace.get_tracer_provider,
    _ProxyMeterProvider: metrics.get_meter_provider,
}
"""OpenTelemetry's placeholders, each with what returns the provider that is set by now."""

Act = Callable[[], None]


class BeforeExport:
    """Has one thing done, a bound method that nobody here keeps alive, before an export."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider,
        meter_provider: metrics.MeterProvider,
        faults: Faults,
    ) -> None:
        self._faults = faults
        self._act: WeakMethod[Act] | None = None
        self._unset: list[object] = [tracer_provider, meter_provider]
        """The placeholders that stand for nothing yet."""
        self._watched: list[_Watched] = []

    def do(self, act: Act) -> None:
        """Have this done from now on."""
        self._act = WeakMethod(act)
        self.follow()

    def follow(self) -> None:
        """Take the providers that the application has set meanwhile."""
        if not self._unset or self._act is None:
            return
        for one in list(self._unset):
            current = _CURRENT.get(type(one))
            provider = one if current is None else current()
            if type(provider) not in _CURRENT:
                self._unset.remove(one)
                self._watched.append(_Watched(provider, self._act, self._faults))

    def undo(self) -> None:
        """Put everything back."""
        self._act = None
        while self._watched:
            self._watched.pop().undo()


class _Watched:
    """One provider, whose methods have ours around them."""

    def __init__(self, provider: object, act: "WeakMethod[Act]", faults: Faults) -> None:
        self._provider = provider
        self._act: WeakMethod[Act] | None = act
        self._faults = faults
        self._put: dict[str, tuple[object, bool, object]] = {}
        for name in _METHODS:
            with faults.contained("provider"):  # one may take no attributes
                self._put_around(name)

    def _put_around(self, name: str) -> None:
        method = getattr(self._provider, name, None)
        if not callable(method):
            return
        own = name in vars(self._provider)
        ours = self._around(method)
        setattr(self._provider, name, ours)
        self._put[name] = ours, own, method

    def _around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def act_first(*args: Any, **kwargs: Any) -> Any:
            act = None if self._act is None else self._act()
            if act is not None:
                with self._faults.contained("provider"):
                    act()
            return method(*args, **kwargs)

        return act_first

    def undo(self) -> None:
        """Put the methods back; where somebody has put something around ours, ours does nothing."""
        self._act = None
        for name, (ours, own, method) in self._put.items():
            with self._faults.contained("provider"):
                if vars(self._provider).get(name) is ours:
                    delattr(self._provider, name)
                    if own:
                        setattr(self._provider, name, method)
        self._put.clear()
