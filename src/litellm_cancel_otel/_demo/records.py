"""What one run of a way has shown, and whether that is what it must show with the package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from .._contract import semconv as sc
from .._contract.records import Outcome
from .fakes import Exchange, Wire
from .ways import Way


@dataclass(frozen=True, slots=True)
class Got:
    """What the caller got: a word of its own, or the exception's name, status and causes."""

    name: str
    status: int | None = None
    causes: tuple[str, ...] = ()

    @classmethod
    def of(cls, caller: asyncio.Task[str]) -> Got:
        """Return what a caller that has ended got."""
        if caller.cancelled():
            return cls(asyncio.CancelledError.__name__)
        exc = caller.exception()
        if exc is None:
            return cls(caller.result())
        status = getattr(exc, "status_code", None)
        status = status if isinstance(status, int) else None
        return cls(type(exc).__name__, status, tuple(_causes(exc)))


def _causes(exc: BaseException) -> Iterator[str]:
    seen = {id(exc)}
    cause = exc.__cause__ or exc.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield type(cause).__name__
        cause = cause.__cause__ or cause.__context__


@dataclass(frozen=True, slots=True)
class Seen:
    """What the provider saw of a call; times are seconds since the caller left."""

    requests: int
    closed_after: float | None = None
    """When it saw the client close the connection; None where it did not."""
    open_after: float | None = None
    """How long it had waited for that in vain when the observation ended."""

    def was_open(self, after: float) -> bool:
        """Return whether the connection was still open so many seconds after the caller left."""
        known = self.closed_after if self.open_after is None else self.open_after
        return known is not None and known >= after

    @classmethod
    def of(cls, exchanges: Sequence[Exchange], left_at: float | None, now: float) -> Seen:
        """Return what the provider saw until now."""
        if left_at is None or not exchanges:
            return cls(len(exchanges))
        if any(exchange.how is None for exchange in exchanges):
            return cls(len(exchanges), open_after=now - left_at)
        closes = [one.closed_at for one in exchanges if one.how == "client_gone"]
        closed_after = [max(0.0, at - left_at) for at in closes if at is not None]
        return cls(len(exchanges), closed_after=max(closed_after, default=None))


@dataclass(frozen=True, slots=True)
class Record:
    """One way at one provider, once."""

    provider: Wire
    way: Way
    got: Got
    seen: Seen
    callbacks: tuple[str, ...]
    """Which of LiteLLM's own callbacks fired: success, failure."""
    span: ReadableSpan | None = None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The span's attributes; none without a span."""
        return (self.span and self.span.attributes) or {}

    @property
    def outcome(self) -> Outcome | None:
        """The call's outcome as its span has it; None without a span."""
        if self.span is None:
            return None
        if sc.CANCELLATION_TYPE in self.attributes:
            return Outcome.CANCELLED
        failed = self.span.status.status_code is StatusCode.ERROR
        return Outcome.ERROR if failed else Outcome.COMPLETED

    def seconds(self, name: str) -> float | None:
        """Return one of the span's latencies."""
        value = self.attributes.get(name)
        return None if value is None else float(value)

    def problems(self) -> list[str]:
        """Return what is not as it must be with the package; nothing when all is well."""
        expected = self.way.expected
        found = []
        if self.got.name not in expected.got:
            found.append(f"the caller got {self.got.name}, not {' or '.join(expected.got)}")
        if self.seen.open_after is not None:
            found.append(f"the provider's connection was open after {self.seen.open_after:.1f} s")
        if self.span is None:
            return [*found, "there is no span"]
        if self.outcome is not expected.outcome:
            found.append(f"the outcome is {self.outcome}, not {expected.outcome}")
        wanted = dict(expected.attributes_at(self.provider))
        found += [
            f"{name} is {self.attributes.get(name)}, not {value}"
            for name, value in wanted.items()
            if self.attributes.get(name) != value
        ]
        return found + [f"{name} is missing" for name in self._missing_latencies()]

    def _missing_latencies(self) -> list[str]:
        wanted = []
        if self.outcome is Outcome.CANCELLED:
            wanted.append(sc.DISCONNECT_TO_FINALLY)
            if self.seen.closed_after is not None:
                wanted.append(sc.DISCONNECT_TO_UPSTREAM_CLOSE)
        return [name for name in wanted if self.seconds(name) is None]


@dataclass(frozen=True, slots=True)
class Pair:
    """One way at one provider, without the package and with it."""

    without: Record
    with_: Record
