"""The signs of a call's cancel: what was seen of it before the call ended."""

from typing import Final, NamedTuple

from .._contract.records import Signal


class Disconnect(NamedTuple):
    """The server learned that the client went away."""

    at: float
    signal: Signal
    chunks: int
    """How many chunks had come by then."""


class Thrown(NamedTuple):
    """A cancel was thrown into the call."""

    at: float | None
    """None where nobody saw it go in."""
    rise: int
    """By how much ``cancelling()`` had risen: above 0 the caller's own side had asked for it."""
    message: str | None = None
    into: str = "call"
    """Where the call was: ``call``, ``stream`` or ``failure_hook``."""

    @property
    def by_caller(self) -> bool:
        """Whether it was the caller's own cancel."""
        return self.rise > 0


class Drop(NamedTuple):
    """The last reference to the stream, or to the call's own frame, went."""

    at: float
    rise: int
    """By how much the driver's ``cancelling()`` had risen."""
    in_shutdown: bool


class Signs:
    """The signs of one call; each is one value, set whole, as another thread may be what sees it.

    ``call.py`` writes them.
    """

    disconnect: Disconnect | None = None
    """The first that the server said."""
    thrown: Thrown | None = None
    """The last cancel that counts; one that is told again while it is obeyed does not."""
    drop: Drop | None = None
    closing_since: float | None = None
    """When ``aclose()`` began, or an exception of the consumer's was thrown in."""
    shutdown = False
    """The server or the loop's runner is stopping, and has told the call or its request so."""
    by_guard = False
    """The guard is closing it."""
    actions: tuple[tuple[str, float], ...] = ()
    """What the guard did, and when."""

    @property
    def told_to_stop(self) -> bool:
        """Whether the caller's own cancel was thrown into the call."""
        return self.thrown is not None and self.thrown.by_caller

    def __repr__(self) -> str:
        seen = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"<Signs: {seen or 'none'}>"


class _NoSigns(Signs):
    """Those of every call of which nothing was seen: nobody writes them."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} is noted of one call")


NO_SIGNS: Final = _NoSigns()
