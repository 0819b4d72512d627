"""Where this package hooks into LiteLLM, its HTTP clients and asyncio; nothing else knows how.

Every seam is a patch that puts itself back. One that is not where it is expected, in a LiteLLM
older or newer than those this package knows, is left out and named; the others work.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Final

import litellm

from .._contract.log import warn
from .._tracking.tracker import Tracker
from . import attempts, azure, calls, deadlines, upstream
from .active import ACTIVE
from .patching import Replaced, SeamMissing, Undo

_undo: Final[list[Undo]] = []
_users: Final[list[Tracker]] = []

Install = Callable[[], list[Undo]]


def seams() -> Iterator[Install]:
    """Yield what installs each seam."""
    for entry in calls.ENTRY_POINTS:
        yield partial(calls.install, entry)
    for handler in azure.HANDLERS:
        yield partial(azure.install, *handler)
    yield attempts.install
    yield upstream.install
    yield deadlines.install


def install(tracker: Tracker) -> list[str]:
    """Let a tracker see every call from now on; return what could not be hooked into."""
    ACTIVE.add(tracker)
    _users.append(tracker)
    if len(_users) > 1:  # the seams are there
        return []
    missing: list[str] = []
    replaced: list[str] = []
    for seam in seams():
        try:
            _undo.extend(seam())
        except Replaced as exc:
            _undo.extend(exc.undo)
            replaced.append(str(exc))
        except SeamMissing as exc:
            missing.append(str(exc))
        except Exception as fault:  # noqa: BLE001 - a LiteLLM unlike any that is known: the rest goes on
            missing.append(f"{seam}: {fault!r}")
    if missing:
        warn(
            "litellm %s is not quite as this package knows it; not watched: %s. Everything else "
            "is. Look for a newer litellm-cancel-otel, or run `litellm-cancel-otel doctor`.",
            version("litellm"),
            "; ".join(missing),
        )
    if replaced:
        warn(
            "not LiteLLM's own any more, and not known to lead there: %s. What goes through it may "
            "be not watched. Create CancelTelemetry before the other patches LiteLLM.",
            "; ".join(replaced),
        )
    return missing + replaced


def uninstall(tracker: Tracker) -> None:
    """Undo an install; the last one puts every seam back."""
    if tracker not in _users:
        return
    _users.remove(tracker)
    ACTIVE.remove(tracker)
    if not _users:
        while _undo:
            _undo.pop()()


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
