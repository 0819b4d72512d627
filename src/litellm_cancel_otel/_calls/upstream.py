"""The provider's HTTP response behind a call, as far as the package needs to know it."""

from collections.abc import Callable
from typing import Protocol


class Connection(Protocol):
    """The connection's end of a response that has begun."""

    def is_closed(self) -> bool:
        """Return whether the transport has closed it by itself, behind httpx's back."""

    def is_read(self) -> bool:
        """Return whether somebody is reading the response's body at this moment."""

    async def close(self) -> None:
        """Close it."""


class Upstream:
    """One HTTP exchange with a provider: where it went, and when it was closed.

    Times are seconds of the tracker's clock.
    """

    __slots__ = ("__weakref__", "closed_at", "connection", "host", "in_thread", "on_closed", "port")

    def __init__(self, host: str | None, port: int | None, *, in_thread: bool = False) -> None:
        self.host = host
        self.port = port
        self.in_thread = in_thread
        """It is made in a thread: nothing stops it but its own end."""
        self.closed_at: float | None = None
        self.connection: Connection | None = None
        """None until there is a response, and again once it is closed."""
        self.on_closed: Callable[[float], None] | None = None
        """Called once with the time of the close, where somebody waits for it."""

    def __repr__(self) -> str:
        state = "open" if self.closed_at is None else "closed"
        return f"<Upstream {self.host}:{self.port}, {state}>"

    def closed(self, now: float) -> None:
        """Note that the response is closed; only the first close counts."""
        if self.closed_at is not None:
            return
        self.closed_at = now
        self.connection = None  # lets go of the response
        if self.on_closed is not None:
            waiter, self.on_closed = self.on_closed, None
            waiter(now)

    def is_open(self, now: float) -> bool:
        """Return whether the response is still open; the transport's close is noted as of now."""
        if self.connection is not None and self.connection.is_closed():
            self.closed(now)
        return self.closed_at is None

    def is_read(self) -> bool:
        """Return whether somebody is reading the response's body at this moment."""
        return self.connection is not None and self.connection.is_read()

    async def close(self) -> None:
        """Close the response, where there is one that is open."""
        if self.connection is not None:
            await self.connection.close()
