"""The words of a call's life as frozen records: what was seen, and what it means."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from .plain import MOST, plain


class Outcome(StrEnum):
    """How a call ended."""

    COMPLETED = "completed"
    ERROR = "error"
    CANCELLED = "cancelled"


class Source(StrEnum):
    """Who cancelled; what is not known for sure is ``task_cancel``."""

    CLIENT_DISCONNECT = "client_disconnect"
    DEADLINE = "deadline"
    TASK_CANCEL = "task_cancel"
    SHUTDOWN = "shutdown"
    ACLOSE = "aclose"
    ABANDONED = "abandoned"
    PROVIDER = "provider"


class Phase(StrEnum):
    """Where the call was when it was cancelled; ``request`` lasts until the first chunk."""

    REQUEST = "request"
    BACKOFF = "backoff"
    """Between two attempts: one has failed, and the next has not begun."""
    STREAMING = "streaming"
    CLOSING = "closing"


class Signal(StrEnum):
    """How the disconnect was learned."""

    ASGI_RECEIVE = "asgi_receive"
    ASGI_SEND = "asgi_send"
    CANCEL = "cancel"
    TASK_DONE = "task_done"
    ACLOSE = "aclose"
    GC = "gc"


class EndedBy(StrEnum):
    """What ran the consumer's finally."""

    EXCEPTION = "exception"
    ACLOSE = "aclose"
    GUARD = "guard"
    GC = "gc"


class Exit(StrEnum):
    """The way in which control left the call for the last time."""

    RETURNED = "returned"
    """The result, or the stream's end, reached the caller."""
    RAISED = "raised"
    """An exception other than a cancel reached the caller."""
    CANCELLED = "cancelled"
    """A CancelledError came out of the call."""
    CLOSED = "closed"
    """The consumer closed the stream."""
    DROPPED = "dropped"
    """Nobody refers to the call or stream any more."""


class Evidence(NamedTuple):
    """What was seen of one call's end; everything that the verdict rests on."""

    exit: Exit
    cancelling_rise: int = 0
    """The driver's ``cancelling()`` now, less what it was when it began to drive the call."""
    delivered: bool = False
    """The caller's cancel was thrown into the call."""
    cancelled_within: bool = False
    """A CancelledError is the exception that came out, or in its chain of causes."""
    chunks: int = 0
    closing: bool = False
    """The stream's ``aclose()`` had begun."""
    deadline: bool = False
    """An ``asyncio.timeout`` on this task expired during the call."""
    shutdown: bool = False
    """The event loop's runner was cancelling every task."""
    disconnect: Signal | None = None
    """How the server said that the client went away, where it did."""
    driver_done: bool = False
    """The driver had ended before the stream did."""
    by_guard: bool = False
    """The guard closed the stream."""
    whole: bool = False
    """The provider's ``finish_reason`` had come: nothing of the answer was missing."""
    backoff: bool = False
    """An attempt had failed, and the next one had not begun."""


class Verdict(NamedTuple):
    """What a call's end means; the cancel's attributes are None where it was none."""

    outcome: Outcome
    external: bool = False
    source: Source | None = None
    phase: Phase | None = None
    signal: Signal | None = None
    ended_by: EndedBy | None = None
    swallowed: bool = False
    """The call returned although its task had been told to stop."""


class Subject(NamedTuple):
    """What a call is counted under: all that a call which completes is asked for."""

    operation: str
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call apart from its end. ``provider`` is LiteLLM's name.

    This is where the words of a client or a provider become telemetry's: whatever is told of a
    call, in a metric, a span, a log line or ``top``, is plain text from here on.
    """

    operation: str
    provider: str
    model: str
    stream: bool
    call_id: str | None = None
    response_model: str | None = None
    server_address: str | None = None
    server_port: int | None = None
    output_tokens: int | None = None
    """How many the provider had said, with the last chunk, that it has sent."""
    whole: bool = False
    """The provider's ``finish_reason`` has come."""

    def __post_init__(self) -> None:
        # All of them in one look: it is made for every call, and nearly every one is plain.
        words = f"{self.provider}{self.model}{self.call_id}{self.response_model}"
        words += self.server_address or ""
        if len(words) <= MOST and words.isprintable():
            return
        for name in _WORDS:
            if (word := getattr(self, name)) is not None:
                object.__setattr__(self, name, plain(word))


_WORDS: Final = ("provider", "model", "call_id", "response_model", "server_address")


class Times(NamedTuple):
    """When what happened, in seconds of one monotonic clock; None for what did not."""

    start: float
    end: float
    first_chunk: float | None = None
    cancelled: float | None = None
    """When the cancel came, by the first who knew: the server that said that the client had gone,
    the cancel that was thrown in, the driver's end, the close; where nobody did, the end."""
    cancel_delivered: float | None = None
    upstream_closed: float | None = None


class Ending(NamedTuple):
    """One call's end, complete: what the recorder turns into a span and measurements."""

    facts: CallFacts
    verdict: Verdict
    times: Times
    chunks: int = 0
    error_type: str | None = None
    upstream_open: bool = False
    """The provider's response was still open when the call ended, and nobody will read it on."""
    unstoppable: bool = False
    """It is open because it runs in a thread, which no cancel reaches."""
    undelivered: int = 0
    """Chunks that the provider sent after the disconnect."""
    wasted: float = 0.0
    """The part of the answer, from 0 to 1, that came after it."""
    output_price: float | None = None
    """The USD that one output token costs; None where nothing was wasted or nobody knows."""
    actions: tuple[tuple[str, float], ...] = ()
    """What the guard did, and when."""
    stuck: "tuple[Stuck, ...]" = ()
    """The times that its stream was found stuck."""
    loop_lag: float | None = None
    """By how long the event loop was blocked after the disconnect, where it was."""
    swallowed_in: str = "call"
    """Where the cancel was that did not come out, should the verdict say so."""
    cancel_message: str | None = None
    """The cancel's own message, where a setting asks for it."""

    def tokens_undelivered(self, output_tokens: int | None) -> int | None:
        """Return how many of the answer's tokens came after it, shared out by chunks."""
        return None if output_tokens is None else round(output_tokens * self.wasted)

    def cost_undelivered(self, output_tokens: int | None) -> float | None:
        """Return the USD that these tokens cost; None where tokens or price are not known."""
        tokens, price = self.tokens_undelivered(output_tokens), self.output_price
        return None if tokens is None or price is None else tokens * price


class Action(StrEnum):
    """What the guard does to clean up."""

    CLOSED_ORPHAN = "closed_orphan"
    CLOSED_ON_DISCONNECT = "closed_on_disconnect"
    CLOSED_UPSTREAM = "closed_upstream"
    CHECKPOINT = "checkpoint"


class Reason(StrEnum):
    """Why a stream is stuck."""

    AFTER_DISCONNECT = "after_disconnect"
    """The client is gone and the finally has not run."""
    ORPHANED = "orphaned"
    """The driver is done and the stream is not."""
    NO_CHUNK = "no_chunk"
    """No chunk has come for longer than the limit."""


@dataclass(frozen=True, slots=True)
class Place:
    """One frame of an await chain; no values, only where."""

    file: str
    line: int
    function: str
    library: bool = False
    """It is a library's or Python's own; else the application's."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """One time that a stream was found stuck, in seconds of the call's clock."""

    reason: Reason
    since: float
    """From when on its limit counted."""
    found: float
    chain: tuple[Place, ...] = ()
    """What it waited for, outermost first."""
    loop_lag: float | None = None
    """By how long its event loop was blocked meanwhile, where it was."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """One open stream at a moment: what the watchdog judges and ``top`` shows. Times in seconds."""

    key: int
    """Tells this stream from every other of the process."""
    provider: str
    """Its name in the semantic conventions, as in the metrics."""
    model: str
    operation: str
    phase: Phase
    chunks: int
    age: float
    since_chunk: float | None
    since_disconnect: float | None
    since_driver_done: float | None
    call_id: str | None = None
    stuck: Reason | None = None
    stuck_for: float = 0.0
    chain: tuple[Place, ...] = ()
    """What it waits for, outermost first; read only where it is stuck."""
