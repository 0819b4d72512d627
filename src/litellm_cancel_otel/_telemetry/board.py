"""The totals of one MeterProvider: every CancelTelemetry adds to them, a collection reads them.

OpenTelemetry keeps the first registration of an instrument's callbacks in a meter and passes over
every later one; its placeholder keeps each for ever. So a provider has one board, which is
registered once and lives as long as the provider does. Instruments join it while they are open.
What they count is the board's, and stays when they close: a total never falls or vanishes.
"""

import atexit
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    MeterProvider,
    NoOpCounter,
    NoOpHistogram,
    NoOpMeter,
    Observation,
)

from .._contract import semconv as sc
from .._contract.faults import Faults
from .._contract.forks import follow_forks
from .._contract.records import Outcome, Reason

K = TypeVar("K")

Key = tuple[str, str, str]
"""Provider, model and operation, as they stand in telemetry."""

Observe = Callable[["Board"], Iterable[Observation]]


class Member(Protocol):
    """Instruments that are open, as far as their board knows them."""

    open: dict[Key, int]
    stuck_streams: dict[tuple[Key, Reason], int]
    faults: Faults
    disconnected: Callable[[], Iterable[tuple[Key, float]]]


class Board:
    """The totals of one MeterProvider, its instruments, and whose are open.

    A total is a plain number that is read when somebody collects: an OpenTelemetry counter costs
    7 µs an addition, more than all the rest of watching a call.
    """

    def __init__(self, provider: MeterProvider, version: str, faults: Faults) -> None:
        self.provider = provider
        # Reentrant, for the garbage collector may run inside it, and a clean-up of the host's in
        # that, which ends a call. A step of a dict or defaultdict is never seen half done then;
        # a Counter's may be.
        self.lock = threading.RLock()
        self.calls: defaultdict[tuple[Key, Outcome], int] = defaultdict(int)
        self.actions: defaultdict[tuple[Key, str], int] = defaultdict(int)
        self.faults = Faults()
        """Those of instruments that have closed, and the board's own."""
        self.keys: dict[Key, Key] = {}
        """Each key by itself: there is one of each, whoever holds it."""
        self.models: set[str] = set()
        self.providers: set[str] = set(sc.KNOWN_PROVIDERS)
        self.members: dict[Member, None] = {}
        self._left = False
        self._stopped_at: int | None = None
        follow_forks(self)
        contained = faults.contained("meter")
        meter: Meter = NoOpMeter(sc.SCOPE)
        with contained:
            meter = provider.get_meter(sc.SCOPE, version, sc.SCHEMA_URL)
        for metric, read in _READ.items():
            with contained:
                _observe(meter, metric, partial(self._asked, read))
        self._written: dict[sc.Metric, Counter | Histogram] = {}
        for metric in sc.METRICS:
            if metric not in _READ:
                self._written[metric] = _no_op(metric)
                with contained:
                    self._written[metric] = _create(meter, metric)

    def counter(self, metric: sc.Metric) -> Counter:
        """Return an instrument that is added to."""
        return cast("Counter", self._written[metric])

    def histogram(self, metric: sc.Metric) -> Histogram:
        """Return an instrument that takes values one by one."""
        return cast("Histogram", self._written[metric])

    def join(self, member: Member) -> None:
        """Report what instruments say of the streams that are open, until they leave."""
        with self.lock:
            self.members[member] = None
            self._stopped_at = None

    def leave(self, member: Member) -> None:
        """Report no more of these; what they counted stays."""
        with self.lock:
            if member in self.members:
                del self.members[member]
                self._left = True
                self.faults.counts.update(member.faults.counts)

    def stop(self) -> None:
        """Say with the next collection that it is the last, unless another call ends before it."""
        self._stopped_at = self._ended()

    def stopped(self) -> bool:
        """Return whether all who reported have left, or the process is about to end."""
        if self._stopped_at is not None:
            return self._stopped_at == self._ended()
        return self._left and not self.members

    def _ended(self) -> int:
        return sum(self.copied(self.calls).values())

    def real(self) -> object:
        """Return the provider itself or, of OpenTelemetry's placeholder, what was set behind it."""
        return getattr(self.provider, "_real_meter_provider", None) or self.provider

    def copied(self, counts: dict[K, int]) -> dict[K, int]:
        """Return a copy that nobody changes."""
        with self.lock:
            return dict(counts)

    def open_members(self) -> list[Member]:
        """Return the instruments that are open."""
        with self.lock:
            return list(self.members)

    def _asked(self, read: Observe, _: CallbackOptions) -> list[Observation]:
        found: list[Observation] = []
        with self.faults.contained("meter.read"):
            found = list(read(self))
        return found

    def forked(self) -> None:
        """Forget what the parent process counted: it reports that itself."""
        global _creating  # either of the locks may have been held at the fork
        _creating = threading.RLock()
        self.lock = threading.RLock()
        self.calls.clear()
        self.actions.clear()
        self.faults.counts.clear()
        self._left = False
        self._stopped_at = None


_BOARDS: Final[WeakValueDictionary[int, Board]] = WeakValueDictionary()
"""Each by its provider's id. The provider keeps its board alive, and the board its provider."""

_creating = threading.RLock()


def board_of(provider: MeterProvider, version: str, faults: Faults) -> Board:
    """Return a provider's board, which is made where there is none yet."""
    with _creating:
        for board in _boards():
            if board.provider is provider or board.real() is provider:
                return board
        board = _BOARDS[id(provider)] = Board(provider, version, faults)
        # The newest is the first to run, so that the provider's own last collection comes after it.
        atexit.unregister(_stop_all)
        atexit.register(_stop_all)
        return board


def _stop_all() -> None:
    for board in _boards():
        board.stop()


def _boards() -> list[Board]:
    return [board for ref in _BOARDS.valuerefs() if (board := ref()) is not None]


def _peers(asked: Board) -> list[Board]:
    """Return the boards that report to one provider: two where it was set behind the placeholder.

    Each was registered with it, and OpenTelemetry asks only the first.
    """
    real = asked.real()
    return [board for board in _boards() if board.real() is real]


def attributes(key: Key) -> dict[str, str]:
    """Return the attributes that every measurement of one call carries."""
    provider, model, operation = key
    return {sc.PROVIDER: provider, sc.REQUEST_MODEL: model, sc.OPERATION: operation}


# What is read. The sums are built anew for each reading, from copies.


def _members(board: Board) -> list[Member]:
    return [member for peer in _peers(board) for member in peer.open_members()]


def _summed(parts: Iterable[dict[K, int]]) -> dict[K, int]:
    total: dict[K, int] = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return total


def _read_calls(board: Board) -> Iterable[Observation]:
    total = _summed(peer.copied(peer.calls) for peer in _peers(board))
    for (key, outcome), count in total.items():
        yield Observation(count, {**attributes(key), sc.OUTCOME: str(outcome)})


def _read_actions(board: Board) -> Iterable[Observation]:
    total = _summed(peer.copied(peer.actions) for peer in _peers(board))
    for (key, action), count in total.items():
        yield Observation(count, {**attributes(key), sc.ACTION: str(action)})


def _read_open(board: Board) -> Iterable[Observation]:
    for key, count in _summed(board.copied(one.open) for one in _members(board)).items():
        yield Observation(count, attributes(key))


def _read_stuck(board: Board) -> Iterable[Observation]:
    total = _summed(board.copied(one.stuck_streams) for one in _members(board))
    for (key, reason), count in total.items():
        yield Observation(count, {**attributes(key), sc.REASON: str(reason)})


def _read_oldest(board: Board) -> Iterable[Observation]:
    oldest: dict[Key, float] = {}
    for member in _members(board):
        for key in board.copied(member.open):
            oldest.setdefault(key, 0.0)
        for key, age in member.disconnected():
            oldest[key] = max(age, oldest.get(key, 0.0))
    for key, age in oldest.items():
        yield Observation(age, attributes(key))


def _read_faults(board: Board) -> Iterable[Observation]:
    members = _members(board)
    sources = [*(peer.faults for peer in _peers(board)), *(member.faults for member in members)]
    total: dict[str, int] = _summed(board.copied(faults.counts) for faults in sources)
    if not total and members:
        total = {sc.NO_FAULT: 0}  # shows that somebody reports, even if there is nothing to count
    if all(peer.stopped() for peer in _peers(board)):
        total[sc.STOPPED] = 0  # and that nobody does any more on purpose
    for place, count in total.items():
        yield Observation(count, {sc.SEAM: place})


_READ: Final[dict[sc.Metric, Observe]] = {
    sc.CALLS: _read_calls,
    sc.STREAMS_OPEN: _read_open,
    sc.GUARD_ACTIONS: _read_actions,
    sc.INTERNAL_ERRORS: _read_faults,
    sc.STREAMS_STUCK: _read_stuck,
    sc.OLDEST_AFTER_DISCONNECT: _read_oldest,
}
"""The instruments that are read, each with what reads it; every other one is written to."""


def _observe(
    meter: Meter, metric: sc.Metric, callback: Callable[[CallbackOptions], Iterable[Observation]]
) -> None:
    create = {
        "counter": meter.create_observable_counter,
        "updowncounter": meter.create_observable_up_down_counter,
        "gauge": meter.create_observable_gauge,
    }[metric.kind]
    create(metric.name, [callback], unit=metric.unit, description=metric.description)


def _create(meter: Meter, metric: sc.Metric) -> Counter | Histogram:
    if metric.kind == "counter":
        return meter.create_counter(metric.name, unit=metric.unit, description=metric.description)
    return meter.create_histogram(
        metric.name,
        unit=metric.unit,
        description=metric.description,
        explicit_bucket_boundaries_advisory=sc.LATENCY_BUCKETS,
    )


def _no_op(metric: sc.Metric) -> Counter | Histogram:
    return (NoOpCounter if metric.kind == "counter" else NoOpHistogram)(metric.name)
