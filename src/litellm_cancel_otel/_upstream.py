"""The provider's HTTP response behind a call, as far as the package needs to know it."""

from collections.abc import Awaitable, Callable


def _never() -> bool:
    return False


class Upstream:
    """One HTTP exchange with a provider: where it went, and when it was closed.

    Times are seconds of the tracker's clock.
    """

    __slots__ = (
        "__weakref__",
        "close",
        "closed_at",
        "host",
        "on_closed",
        "port",
        "probe",
        "reading",
    )

    def __init__(self, host: str | None, port: int | None) -> None:
        self.host = host
        self.port = port
        self.closed_at: float | None = None
        self.close: Callable[[], Awaitable[None]] | None = None
        """Closes the response; None until there is one."""
        self.probe: Callable[[], bool] = _never
        """Whether the transport has closed the response by itself, behind httpx's back."""
        self.reading: Callable[[], bool] = _never
        """Whether somebody is reading the response's body at this moment."""
        self.on_closed: Callable[[float], None] | None = None
        """Called once with the time of the close, where somebody waits for it."""

    def closed(self, now: float) -> None:
        """Note that the response is closed; only the first close counts."""
        if self.closed_at is not None:
            return
        self.closed_at = now
        self.close = None  # lets go of the response
        self.probe = self.reading = _never
        if self.on_closed is not None:
            waiter, self.on_closed = self.on_closed, None
            waiter(now)

    def is_open(self, now: float) -> bool:
        """Return whether the response is still open; the transport's close is noted as of now."""
        if self.closed_at is None and self.probe():
            self.closed(now)
        return self.closed_at is None
