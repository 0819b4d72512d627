"""Whether calls arrive: one through each entry point, without a request and without telemetry.

It is for a process of its own, such as the doctor's: while it runs, no HTTP client sends anything.
"""

import asyncio
import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, cast

import litellm

from .._calls.call import Call
from .._calls.description import Description
from .._calls.observer import Observer
from .._contract.faults import Faults
from .._contract.records import Ending, Stuck
from .._tracking.tracker import Tracker
from . import not_watched, whose
from .active import ACTIVE
from .entry_points import EXPECTED, EntryPoint, discover
from .operations import Operation, twin_of
from .patching import replace
from .upstream import LIBRARIES

PATIENCE: Final = 10.0
"""Seconds after which a call that nobody answers has not arrived."""

MESSAGES: Final = [{"role": "user", "content": "self-test"}]
MOCKED: Final[dict[str, dict[str, Any]]] = {
    "litellm.acompletion": {"messages": MESSAGES, "mock_response": "answer"},
    "litellm.aembedding": {"input": ["self-test"], "mock_response": [0.5]},
    "litellm.aresponses": {"input": "self-test", "mock_response": "answer"},
}
"""Entry points that LiteLLM answers by itself where it is told what: these are run to their end."""

MODEL: Final = "openai/self-test"


class Arrived(BaseException):
    """A call has reached the package; nothing of LiteLLM's own code needs to run."""


class _Probe:
    """Stands in for a tracker, and stops each call where it begins."""

    def __init__(self) -> None:
        self.faults = Faults()

    def begin(self, description: Description, *, unguarded: bool = False) -> Call:
        raise Arrived


class _Silent:
    """Stands in for a tracker, and tells nobody; ``seen`` is what describes the calls."""

    clock = staticmethod(time.perf_counter)
    cancel_messages = False

    def __init__(self) -> None:
        self.faults = Faults()
        self.seen: list[Description] = []

    def begin(self, description: Description, *, unguarded: bool = False) -> Call:
        self.seen.append(description)
        return Call(cast(Observer[Call], self), description, None)

    def completed(self, call: Call) -> bool:
        return True

    def times_stuck(self, call: Call) -> tuple[Stuck, ...]:
        return ()

    def blocked(self, call: Call, since: float, now: float) -> None:
        return

    def ended(self, call: Call, ending: Ending) -> None:
        return

    def lost(self, call: Call) -> None:
        return


async def arrivals() -> dict[str, str | None]:
    """Call each entry point once; return for each why a call of it does not arrive, or None.

    The seams must be installed.
    """
    with _no_requests():
        return {str(entry): await _tried(entry) for entry in _offered()}


def _offered() -> list[EntryPoint]:
    """Return the entry points, and what stands before LiteLLM's function where a user calls it."""
    found = discover()
    others = [("litellm", name) for name in EXPECTED]
    others += [("litellm", name) for name, one in _with_twin() if _hides(one, name)]
    others += [(home, entry.name) for entry in found for home in _hidden_in(entry)]
    more = (EntryPoint(home, name, Operation(name)) for home, name in others)
    return list({str(one): one for one in (*found, *more)}.values())


def _with_twin() -> Iterator[tuple[str, object]]:
    public = vars(litellm)
    for name, one in list(public.items()):
        if name not in not_watched.FUNCTIONS and twin_of(name, public) is not None:
            yield name, one


def _hidden_in(entry: EntryPoint) -> Iterator[str]:
    """Yield the packages above in which something else stands under an entry point's name.

    LiteLLM hands a function on from its module to the packages above. If another has put something
    in its place there, the function is still found below, and a call of it arrives.
    """
    home = entry.module
    while "." in home:
        home = home.rpartition(".")[0]
        if _hides(vars(sys.modules[home]).get(entry.name), entry.name):
            yield home


def _hides(one: object, name: str) -> bool:
    """Return whether what stands at a name may be called, and is not known to lead to LiteLLM's."""
    return callable(one) and not whose.look(one, name).leads


async def _tried(entry: EntryPoint) -> str | None:
    lost = await _arrives(entry)
    if lost is None and str(entry) in MOCKED:
        return await _runs_through(entry)
    return lost


async def _arrives(entry: EntryPoint) -> str | None:
    with _listening(_Probe()):
        try:
            await asyncio.wait_for(entry.public()(model=MODEL, mock_response="answer"), PATIENCE)
        except Arrived:
            return None
        except Exception as exc:  # noqa: BLE001 - whoever stands before LiteLLM's function may raise anything
            return f"a call of it does not arrive ({type(exc).__name__})"
    return "a call of it does not arrive"


async def _runs_through(entry: EntryPoint) -> str | None:
    silent = _Silent()
    arguments = {"model": MODEL, "api_key": "self-test", "max_retries": 0, **MOCKED[str(entry)]}
    # Not every version answers by itself: then it fails at the request, which is far enough.
    with _listening(silent), suppress(Exception):
        await asyncio.wait_for(entry.public()(**arguments), PATIENCE)
    if len(silent.seen) != 1:
        return f"one call of it is seen as {len(silent.seen)}"
    if silent.faults.counts or getattr(silent.seen[0], "logging", None) is None:
        return "the attempts of a call are not seen"
    return None


@contextmanager
def _listening(listener: object) -> Iterator[None]:
    ACTIVE.add(cast(Tracker, listener))
    try:
        yield
    finally:
        ACTIVE.remove(cast(Tracker, listener))


class _RequestError(Exception):
    """A call of the self-test would have left the process."""


@contextmanager
def _no_requests() -> Iterator[None]:
    async def send(*_: object, **__: object) -> None:
        raise _RequestError

    def send_now(*_: object, **__: object) -> None:
        raise _RequestError

    with ExitStack() as stack:
        stack.callback(replace(litellm, "suppress_debug_info", True))
        for name in LIBRARIES:
            if importlib.util.find_spec(name) is not None:
                library = importlib.import_module(name)
                stack.callback(replace(library.AsyncClient, "send", send))
                stack.callback(replace(library.Client, "send", send_now))
        yield
