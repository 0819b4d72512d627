"""A provider of ours, which is flushed and closed in a thread: its exporter may hang."""

import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from .._contract.forks import follow_forks
from .._contract.log import warn
from .showable import told

_Job: TypeAlias = tuple[Callable[[], object], threading.Event]


class _Provider(Protocol):
    def force_flush(self) -> bool: ...
    def shutdown(self) -> None: ...


class Keeper:
    """A provider of ours and the thread that flushes and closes it, for either may hang.

    The thread is there from the beginning: from Python 3.12 on none can be started at exit.
    """

    def __init__(self, provider: _Provider) -> None:
        self.provider = provider
        self._closing: threading.Event | None = None
        self._start()
        follow_forks(self)

    def flush(self) -> threading.Event:
        """Have it export what it has; return what is set once it has."""
        return self._closing or self._do(self.provider.force_flush, threading.Event())

    def shutdown(self) -> threading.Event:
        """Have it export what it has and stop; return what is set once it has."""
        if self._closing is None:
            self._closing = threading.Event()
            self._do(self.provider.shutdown, self._closing)
        return self._closing

    def _do(self, job: Callable[[], object], done: threading.Event) -> threading.Event:
        self._jobs.put((job, done))
        return done

    def forked(self) -> None:
        """Start the thread again: a child inherits none."""
        self._start()

    def _start(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        if self._closing is None:
            name = "litellm-cancel-otel-export"
            threading.Thread(target=self._work, args=(self._jobs,), name=name, daemon=True).start()
        else:  # the parent's to close
            self._closing = threading.Event()
            self._closing.set()

    def _work(self, jobs: SimpleQueue[_Job]) -> None:
        done = None
        while done is None or done is not self._closing:
            job, done = jobs.get()
            try:
                job()
            except Exception as exc:  # noqa: BLE001 - an exporter may raise anything
                warn("telemetry could not be flushed: %s", told(exc))
            done.set()


def all_set(events: Sequence[threading.Event], timeout_millis: int) -> bool:
    """Wait for all of them, and not longer than that; return whether all came."""
    deadline = time.monotonic() + timeout_millis / 1_000
    for event in events:
        event.wait(max(0.0, deadline - time.monotonic()))
    return all(event.is_set() for event in events)
