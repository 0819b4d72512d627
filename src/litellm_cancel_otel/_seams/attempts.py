"""The Router's retries: a cancel between two attempts, of which no attempt knows."""

import importlib
import sys
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any, Final

from .._asyncio.context_variables import put_back
from .._asyncio.tasks import baseline_of, running_task
from .._asyncio.throw_hook import ThrowHook
from .._calls.description import Description
from .._contract.log import warn
from .._tracking.tracker import Tracker
from .active import ACTIVE
from .patching import SeamMissing, Undo, replace

_IN_PYTHON: Final = "async_function_with_retries"
PLACES: Final = (
    ("litellm.router_rust.core", "RustCore", "_run"),
    ("litellm.router_python_core", "PythonCore", _IN_PYTHON),
    ("litellm.router", "Router", _IN_PYTHON),
)
"""Where the Router's retries may stand, the newest LiteLLM's place first.

From 1.110 a native core decides whether and when to try again. The Router's own coroutine asks it
for each step, and makes the attempts and the sleeps between them.
"""
MAKER: Final = ("litellm.router", "make_core")
"""What loads and makes the native core, for each Router."""
LOST: Final = "a cancel between two attempts of the Router's is not told"


class Attempts:
    """What one run of the Router's retries has come to so far."""

    __slots__ = ("_baseline", "_start", "_thrown_at", "_tracker", "failed")

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._start = tracker.clock()
        self._baseline = baseline_of(running_task())
        self._thrown_at: float | None = None
        self.failed: Description | None = None
        """Describes the attempt that has failed, as long as no other has begun."""

    def thrown(self, exc: BaseException) -> None:
        """Note when a cancel is thrown in."""
        if isinstance(exc, CancelledError):
            self._thrown_at = self._tracker.clock()

    def cancelled(self, exc: CancelledError) -> None:
        """Tell of a cancel that came between two attempts."""
        if self.failed is None:
            return
        try:
            call = self._tracker.begin(self.failed)
            call.cancelled_in_backoff(self._start, self._baseline, self._thrown_at, exc)
        except Exception as fault:  # noqa: BLE001 - ours: the host's cancel goes on
            self._tracker.faults.note("attempts", fault)


ATTEMPTS: Final[ContextVar[Attempts | None]] = ContextVar(
    "litellm_cancel_otel_attempts", default=None
)


def attempt_begins() -> None:
    """Note that the Router's retries, where they run, make another attempt."""
    attempts = ATTEMPTS.get()
    if attempts is not None:
        attempts.failed = None


def attempt_fails(description: Description) -> None:
    """Note that an attempt has failed, or the stream that it has returned; a wait may follow."""
    attempts = ATTEMPTS.get()
    if attempts is not None:
        attempts.failed = description


def install() -> list[Undo]:
    """Watch the Router's retries; raise SeamMissing where they are not as expected.

    LiteLLM loads its native core, for 0.2 s, as the first Router is made: it is watched from then.
    """
    module, name = MAKER
    router = sys.modules.get(module)
    make = getattr(router, name, None)
    if make is None or PLACES[0][0] in sys.modules:
        return [_watch()]
    return [_watch_when_made(router, name, make)]


def load() -> None:
    """Load what has the Router's retries, where it is there."""
    with suppress(SeamMissing):
        place()


def _watch() -> Undo:
    owner, name = place()
    original = vars(owner).get(name)
    if not iscoroutinefunction(original):
        raise SeamMissing(f"{owner.__name__}.{name} is not there")

    @wraps(original)
    async def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        tracker = ACTIVE.tracker
        if tracker is None:
            return await original(self, *args, **kwargs)
        attempts = Attempts(tracker)
        token = ATTEMPTS.set(attempts)
        try:
            return await ThrowHook(original(self, *args, **kwargs), attempts.thrown)
        except CancelledError as exc:  # the host's: told, and the same object raised again
            attempts.cancelled(exc)
            raise
        finally:
            put_back(ATTEMPTS, token)

    return replace(owner, name, watched)


def _watch_when_made(router: object, name: str, make: Callable[..., object]) -> Undo:
    lock = Lock()  # Routers may be made in several threads
    undo: list[Undo] = []

    @wraps(make)
    def making(*args: Any, **kwargs: Any) -> object:
        core = make(*args, **kwargs)
        with lock:
            if not undo:
                try:
                    undo.append(_watch())
                except Exception as fault:  # noqa: BLE001 - a LiteLLM unlike any that is known
                    undo.append(_nothing)
                    warn("the Router's retries: %s; without it %s", fault, LOST)
        return core

    put_back = replace(router, name, making)

    def undo_both() -> None:
        put_back()
        with lock:
            done, undo[:] = [*undo], [_nothing]
        for one in done:
            one()

    return undo_both


def _nothing() -> None:
    """Put nothing back."""


def place() -> tuple[type, str]:
    """Return the class that has the Router's retries, and the method's name there."""
    for module, owner, name in PLACES:
        try:
            return getattr(importlib.import_module(module), owner), name
        except (ImportError, AttributeError):  # a native part may be there and not load
            continue
    raise SeamMissing("LiteLLM has no Router")
