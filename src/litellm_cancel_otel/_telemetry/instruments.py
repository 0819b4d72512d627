"""What is counted and measured of calls; knows OpenTelemetry's metrics, nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram, MeterProvider

from .._contract import semconv as sc
from .._contract.faults import Faults
from .._contract.records import Ending, Outcome, Reason
from .board import Key as Key
from .board import attributes, board_of
from .timeline import since_cancel, time_to_cancel

MAX_PROVIDERS: Final = 100
"""Providers without a name in the semantic conventions; those past this number are ``_other``."""

Measured = dict[str, str]


class Counted(Protocol):
    """What a call is counted under, by LiteLLM's names."""

    @property
    def operation(self) -> str: ...

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...


class Instruments:
    """Every instrument of the contract that measures a call's end or the streams that are open.

    Several may be open on one MeterProvider, one after the other or at once: they share its board.
    """

    def __init__(
        self, provider: MeterProvider, version: str, faults: Faults, *, max_models: int
    ) -> None:
        self.faults = faults
        self._contained = faults.contained("meter")
        self._board = board = board_of(provider, version, faults)
        self._max_models = max_models
        self.open: dict[Key, int] = defaultdict(int)
        """The streams that have not ended."""
        self.stuck_streams: dict[tuple[Key, Reason], int] = defaultdict(int)
        self.disconnected: Callable[[], Iterable[tuple[Key, float]]] = tuple
        """Returns the streams whose client is gone, each with the seconds since."""
        self._cancellations = board.counter(sc.CANCELLATIONS)
        self._swallowed = board.counter(sc.SWALLOWED)
        self._undelivered = board.counter(sc.UNDELIVERED)
        self._undelivered_tokens = board.counter(sc.UNDELIVERED_TOKENS)
        self._undelivered_cost = board.counter(sc.UNDELIVERED_COST)
        self._to_finally = board.histogram(sc.TO_FINALLY)
        self._to_upstream_close = board.histogram(sc.TO_UPSTREAM_CLOSE)
        self._time_to_cancel = board.histogram(sc.TIME_TO_CANCEL)
        self._loop_lag = board.histogram(sc.LOOP_LAG)
        board.join(self)

    def key(self, call: Counted, *, answered: bool = True) -> Key:
        """Return a call's provider, model and operation, each from a bounded number of values.

        One that was never answered takes no place of the others': anybody can make up names.
        """
        board = self._board
        model, provider = call.model, sc.provider_name(call.provider)
        if model not in board.models:
            model = self._placed(model, board.models, self._max_models, answered)
        if provider not in board.providers:
            most = len(sc.KNOWN_PROVIDERS) + MAX_PROVIDERS
            provider = self._placed(provider, board.providers, most, answered)
        key = (provider, model, call.operation)
        return board.keys.setdefault(key, key)

    def _placed(self, value: str, taken: set[str], most: int, answered: bool) -> str:
        with self._board.lock:
            if not answered or len(taken) >= most:
                return sc.OTHER
            taken.add(value)
            return value

    def opened(self, key: Key) -> None:
        """Count a stream as open."""
        with self._board.lock:
            self.open[key] += 1

    def closed(self, key: Key) -> None:
        """Count a stream as ended."""
        with self._board.lock:
            self.open[key] -= 1

    def count(self, key: Key, outcome: Outcome) -> None:
        """Count a call's end."""
        with self._board.lock:
            self._board.calls[key, outcome] += 1

    def swallowed(self, key: Key, seam: str) -> None:
        """Count a cancel that did not come out of the call it was thrown into."""
        self._add(self._swallowed, 1, {**attributes(key), sc.SEAM: seam})

    def guarded(self, key: Key, action: str) -> None:
        """Count an action of the guard's."""
        with self._board.lock:
            self._board.actions[key, action] += 1

    def cancelled(self, key: Key, cancellation_type: str, ending: Ending, context: Context) -> None:
        """Measure a cancelled call; the context carries its span, for the exemplars."""
        verdict, times = ending.verdict, ending.times
        base = attributes(key)
        source, phase = str(verdict.source), str(verdict.phase)
        typed = {**base, sc.CANCELLATION_TYPE: cancellation_type, sc.SOURCE: source}
        self._add(self._cancellations, 1, {**typed, sc.PHASE: phase}, context)
        self._record(
            self._time_to_cancel,
            time_to_cancel(times),
            {**base, sc.SOURCE: source, sc.PHASE: phase},
            context,
        )
        to_finally = since_cancel(times, times.end)
        if to_finally is not None:
            ended = {sc.SIGNAL: str(verdict.signal), sc.ENDED_BY: str(verdict.ended_by)}
            self._record(self._to_finally, to_finally, {**typed, **ended}, context)
        to_close = since_cancel(times, times.upstream_closed)
        if to_close is not None:
            self._record(self._to_upstream_close, to_close, typed, context)

    def undelivered(self, key: Key, ending: Ending, context: Context) -> None:
        """Count what came after the disconnect, of a call that was cancelled or ran to its end."""
        if ending.undelivered:
            by_outcome = {**attributes(key), sc.OUTCOME: str(ending.verdict.outcome)}
            self._add(self._undelivered, ending.undelivered, by_outcome, context)
        self.undelivered_tokens(key, ending, ending.facts.output_tokens, context)

    def undelivered_tokens(
        self, key: Key, ending: Ending, output_tokens: int | None, context: Context
    ) -> None:
        """Count the same in tokens and in money, given the whole answer's tokens.

        Nothing is counted where nobody knows the tokens, or the price of one.
        """
        if tokens := ending.tokens_undelivered(output_tokens):
            by_outcome = {**attributes(key), sc.OUTCOME: str(ending.verdict.outcome)}
            self._add(self._undelivered_tokens, tokens, by_outcome, context)
            if cost := ending.cost_undelivered(output_tokens):
                self._add(self._undelivered_cost, cost, by_outcome, context)

    def upstream_closed(
        self, key: Key, cancellation_type: str, ending: Ending, seconds: float, context: Context
    ) -> None:
        """Measure a provider's response that was closed only after its call had ended."""
        typed = {sc.CANCELLATION_TYPE: cancellation_type, sc.SOURCE: str(ending.verdict.source)}
        self._record(self._to_upstream_close, seconds, {**attributes(key), **typed}, context)

    def stuck(self, key: Key, reason: Reason, by: int) -> None:
        """Count a stream as stuck (1), or as no longer stuck (-1)."""
        with self._board.lock:
            self.stuck_streams[key, reason] += by

    def lag(self, seconds: float) -> None:
        """Measure how late an event loop was."""
        self._record(self._loop_lag, seconds)

    def forked(self) -> None:
        """Forget the streams of the parent process: it reports them itself, as its totals."""
        self.open = defaultdict(int)
        self.stuck_streams = defaultdict(int)

    def stop(self) -> None:
        """Report with the next collection that the process is about to end."""
        self._board.stop()

    def close(self) -> None:
        """Report no more of what is open; what was counted goes on being reported."""
        self._board.leave(self)

    # The application's instruments, which may raise

    def _add(
        self,
        counter: Counter,
        amount: float,
        measured: Measured,
        context: Context | None = None,
    ) -> None:
        with self._contained:
            counter.add(amount, measured, context)

    def _record(
        self,
        histogram: Histogram,
        seconds: float,
        measured: Measured | None = None,
        context: Context | None = None,
    ) -> None:
        with self._contained:
            histogram.record(seconds, measured, context)
