"""What ``top`` knows at one moment, wherever it was read."""

from dataclasses import dataclass, field

from .._contract.records import Reason, StreamState


class Unreadable(Exception):
    """A source that has nothing to show; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process and its open streams."""

    pid: int
    service: str | None
    streams: tuple[StreamState, ...]


@dataclass(frozen=True, slots=True)
class Streams:
    """What the sockets of this machine's processes say."""

    processes: tuple[Process, ...]
    silent: tuple[str, ...] = ()
    """The sockets that nobody answers at, each with the reason."""


@dataclass(slots=True)
class Model:
    """What an endpoint's metrics say of one provider's model."""

    open: int = 0
    stuck: dict[Reason, int] = field(default_factory=dict)
    oldest_after_disconnect: float = 0.0
    cancelled: dict[str, int] = field(default_factory=dict)
    """How many calls have ended in a cancel, by ``cancellation_type``."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a Prometheus endpoint says, by provider and model."""

    source: str
    models: dict[tuple[str, str], Model]
