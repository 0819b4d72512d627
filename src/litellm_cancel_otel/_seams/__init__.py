"""Where this package hooks into LiteLLM, its HTTP clients and asyncio; nothing else knows how.

Every seam is a patch that puts itself back. One that is not where it is expected, in a LiteLLM
older or newer than those this package knows, is left out and named; the others work.
"""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import Final

import litellm

from .._contract.log import warn
from .._tracking.tracker import Tracker
from . import attempts, azure, calls, deadlines, upstream
from .active import ACTIVE
from .entry_points import EntryPoint, discover
from .patching import Undo
from .seam import Registry, Seam, lines

_registry: Final = Registry()
_users: Final[list[Tracker]] = []


def seams() -> Iterator[Seam]:
    """Yield every seam of the installed LiteLLM."""
    entries: list[EntryPoint] = []
    try:
        entries = discover()
    except Exception as fault:  # noqa: BLE001 - a LiteLLM unlike any that is known: the rest goes on
        yield Seam(
            "LiteLLM's operations",
            "modules that can be looked through",
            "no call is seen",
            partial(_raise, fault),
        )
    yield from map(_call, entries)
    yield from (_attempts(entry) for entry in entries if entry.is_decorated)
    yield Seam(
        "the Router's retries",
        "a coroutine method",
        attempts.LOST,
        attempts.install,
    )
    for module, owner, name in azure.HANDLERS:
        yield Seam(
            f"{module}.{owner}.{name}",
            "a coroutine method",
            "a cancel in it reaches the caller as this version of LiteLLM makes it",
            partial(azure.install, module, owner, name),
        )
    yield Seam(
        " and ".join(f"{name}.AsyncClient.send" for name in upstream.LIBRARIES),
        "a method of each library that is installed",
        "the provider's address and the time of its close are not known, and it is not closed",
        upstream.install,
    )
    yield Seam(
        " and ".join(f"{name}.Client.send" for name in upstream.LIBRARIES),
        "a method of each library that is installed",
        "a request that LiteLLM makes in a thread, which no cancel stops, is not told",
        upstream.install_threads,
    )
    yield Seam(
        "aiohttp.ClientSession._request",
        "a coroutine method",
        "the requests that LiteLLM makes by aiohttp itself have no address and are not closed",
        upstream.install_sessions,
    )
    yield Seam(
        "asyncio.Timeout._on_timeout",
        "a method",
        "a deadline is told as task_cancel",
        deadlines.install,
    )
    yield Seam(
        "anyio's CancelScope._timeout",
        "a method",
        "the deadline of an anyio scope is told as task_cancel",
        deadlines.install_scopes,
    )


def _raise(fault: Exception) -> list[Undo]:
    raise fault


def _call(entry: EntryPoint) -> Seam:
    return Seam(
        str(entry),
        "a coroutine function of LiteLLM's",
        "its calls are not seen, but for those that another function of LiteLLM's makes",
        partial(calls.install, entry),
    )


def _attempts(entry: EntryPoint) -> Seam:
    return Seam(
        f"the attempts of {entry}",
        "a function in a closure cell of LiteLLM's @client",
        "a retried call counts as one, and an internal cancel is not retried",
        partial(calls.install_attempts, entry),
    )


def install(tracker: Tracker) -> list[str]:
    """Let a tracker see every call from now on; return what could not be hooked into."""
    ACTIVE.add(tracker)
    _users.append(tracker)
    if len(_users) > 1:  # the seams are there
        return []
    missing = _registry.install(seams())
    unknown = [one for one in missing if not one.patcher]
    if unknown:
        warn(
            "litellm %s is not quite as this package knows it. Look for a newer "
            "litellm-cancel-otel, or run `litellm-cancel-otel doctor`. Everything is watched but "
            "for:\n  %s",
            version("litellm"),
            "\n  ".join(lines(unknown)),
        )
    replaced = [one for one in missing if one.patcher]
    if replaced:
        warn(
            "not LiteLLM's own any more, and not known to lead there: %s. What goes through it may "
            "be not watched. Create CancelTelemetry before the other patches LiteLLM.",
            "; ".join(map(str, replaced)),
        )
    return [str(one) for one in missing]


def load_all() -> None:
    """Have LiteLLM load what it loads when it is first used, so that each seam is tried at once."""
    attempts.load()


def uninstall(tracker: Tracker) -> None:
    """Undo an install; the last one puts every seam back."""
    if tracker not in _users:
        return
    _users.remove(tracker)
    ACTIVE.remove(tracker)
    if not _users:
        _registry.uninstall()


_CALLBACK_LISTS: Final = (
    *("callbacks", "input_callback", "success_callback", "failure_callback"),
    *("_async_input_callback", "_async_success_callback", "_async_failure_callback"),
)


def remove_callback(callback: object) -> None:
    """Take a callback out of every list that LiteLLM has copied it to; it keeps 30 at the most."""
    lists = [getattr(litellm, name, None) for name in _CALLBACK_LISTS]
    for callbacks in (*lists, getattr(litellm.utils, "callback_list", None)):
        if isinstance(callbacks, list):
            callbacks[:] = [one for one in callbacks if one is not callback]
