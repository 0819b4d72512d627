"""A feed with a thread that waits at it, as the watchdog's does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from litellm_cancel_otel._contract.faults import Faults
from litellm_cancel_otel._contract.records import StreamState
from litellm_cancel_otel._integration.feed import Feed
from litellm_cancel_otel._tracking.bell import Bell


class Doorkeeper:
    """Opens a feed and lets in who asks, until it is told to stop."""

    def __init__(self, feed: Feed, faults: Faults) -> None:
        self.feed = feed
        self._bell = Bell(feed, faults)
        self._over = False
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        self._opened.wait()

    def stop(self) -> None:
        """Close the feed and end the thread; again, it does nothing."""
        self.feed.close()
        self._over = True
        self._bell.ring()
        self._thread.join()

    def _live(self) -> None:
        self._bell.open()
        self._opened.set()
        while not self._over:
            self._bell.wait(None)
        self._bell.shut()


@contextmanager
def serving(
    where: str | Path,
    states: Callable[[], list[StreamState]] = list,
    faults: Faults | None = None,
) -> Iterator[Feed]:
    """Serve streams at a path, or at ``auto``; whatever becomes of it is the feed's own affair."""
    faults = faults or Faults()
    keeper = Doorkeeper(Feed(str(where), states, faults), faults)
    try:
        yield keeper.feed
    finally:
        keeper.stop()
