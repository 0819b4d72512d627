"""PromQL from the contract's names; an expression is a plain string.

Three things that are easy to get wrong are here once: a gauge of a dead replica that lingers, a
counter whose first value is its first increase, and bucket boundaries, which are ``5.0`` where
Prometheus scrapes and ``5`` where OTLP comes in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from .._contract import semconv as sc
from .._contract.prometheus import family, label

FRESH: Final = "2m"
"""How old a gauge's last sample may be: two exports at OpenTelemetry's default of one a minute.

Nothing marks what came over OTLP as gone, and Prometheus would show it for five minutes. What is
scraped is marked at once, also where one scrape has failed, which is no reason to take it for gone.
"""

BEFORE: Final = "5m"
"""How long before a window a series is looked for that may have begun in it."""

LEADING: Final = 8
"""How many models or instances one panel shows: as many as colours can be told apart."""

JOB: Final = "job"
INSTANCE: Final = "instance"


@dataclass(frozen=True, slots=True)
class Source:
    """Where expressions take their series from: the matchers and the window of every rate."""

    window: str
    matchers: tuple[str, ...] = ()
    at: str = ""

    def where(self, *matchers: str) -> "Source":
        """Narrow by more matchers."""
        return replace(self, matchers=(*self.matchers, *matchers))

    def over(self, window: str) -> "Source":
        """Take another window."""
        return replace(self, window=window)

    def whole(self, window: str) -> "Source":
        """Take one window for all points: the one that ends where the time shown ends."""
        return replace(self, window=window, at=" @ end()")

    def rate(self, metric: sc.Metric, *by: str) -> str:
        """Return a counter's or histogram count's rate a second, summed over all replicas."""
        return _sum(f"rate({self._select(_counted(metric))}[{self.window}]{self.at})", by)

    def peak(self, gauge: sc.Metric, *by: str) -> str:
        """Return the most that a gauge was in the window."""
        return most(f"max_over_time({self._select(family(gauge))}[{self.window}]{self.at})", *by)

    def increase(self, metric: sc.Metric, *by: str) -> str:
        """Return by how much a counter rose, its first value included.

        ``increase`` alone needs two samples and so never sees the first swallowed cancel of a
        replica, which may stay the only one. A series is new if it was not there for a while before
        the window: at the window's start alone it may be missing because one scrape failed.
        """
        counter = self._select(_counted(metric))
        rose = f"increase({counter}[{self.window}])"
        before = f"last_over_time({counter}[{BEFORE}] offset {self.window})"
        return _sum(f"({counter} unless {before}) or {rose}", by)

    def now(self, gauge: sc.Metric) -> str:
        """Return a gauge's series of replicas that still report; one failed scrape is no gap."""
        return f"last_over_time({self._select(family(gauge))}[{FRESH}])"

    def heartbeat(self) -> str:
        """Return the selector of what every replica says for as long as it reports."""
        return self.where(differs(sc.SEAM, sc.STOPPED))._select(family(sc.INTERNAL_ERRORS))

    def alive(self) -> str:
        """Return the heartbeats of replicas that still report."""
        return f"last_over_time({self.heartbeat()}[{FRESH}])"

    def reporting(self, *by: str) -> str:
        """Return a series for each group that has a replica that reports, to lean a zero on."""
        return f"group{_by(by)} ({self.alive()})"

    def quantile(self, q: float, metric: sc.Metric, *by: str) -> str:
        """Return a histogram's quantile over all replicas together; nothing is none, not NaN."""
        return f"histogram_quantile({q:g}, {self.buckets(metric, *by)}) >= 0"

    def buckets(self, metric: sc.Metric, *by: str) -> str:
        """Return the rates of a histogram's buckets, summed over all replicas."""
        bucket = self._select(f"{family(metric)}_bucket")
        return _sum(f"rate({bucket}[{self.window}]{self.at})", ("le", *by))

    def slower(self, metric: sc.Metric, limit: float, *by: str) -> str:
        """Return the share of measurements above one of the bucket boundaries."""
        boundary = self.where(at_most(limit))
        bucket = boundary._select(f"{family(metric)}_bucket")
        within = _sum(f"rate({bucket}[{self.window}])", by)
        return f"1 - {within} / ({self.rate(metric, *by)} > 0)"

    def _select(self, name: str) -> str:
        return f"{name}{{{', '.join(self.matchers)}}}" if self.matchers else name


def at_most(limit: float) -> str:
    """Return the matcher of a bucket boundary, however it is written."""
    if limit not in sc.LATENCY_BUCKETS:
        raise ValueError(f"{limit} is no bucket boundary")
    text = f"{limit:g}".replace(".", "[.]")
    return f'le=~"{text}{"([.]0)?" if float(limit).is_integer() else ""}"'


def equal(attribute: str, value: str) -> str:
    """Return the matcher of one value."""
    return f'{label(attribute)}="{value}"'


def differs(attribute: str, value: str) -> str:
    """Return the matcher of every other value."""
    return f'{label(attribute)}!="{value}"'


def matches(name: str, pattern: str) -> str:
    """Return the matcher of a label's values by regular expression."""
    return f'{label(name)}=~"{pattern}"'


def total(expression: str, *by: str) -> str:
    """Return a sum over everything else."""
    return _sum(expression, by)


def most(expression: str, *by: str) -> str:
    """Return the greatest of each group."""
    return f"max{_by(by)} ({expression})"


def leading(expression: str, ranking: str, *by: str) -> str:
    """Return the series that lead a ranking: what can be many is bounded, the same at all times."""
    names = ", ".join(label(name) for name in by)
    return f"({expression}) and on ({names}) topk({LEADING}, {ranking})"


def share(part: str, whole: str) -> str:
    """Return part of a whole, both grouped alike; a part without series is none of it."""
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def zero_where(reporting: str, expression: str) -> str:
    """Return the expression, or zero where something reports: silence must not look like health."""
    return f"{expression} or {reporting} * 0"


def _counted(metric: sc.Metric) -> str:
    return f"{family(metric)}_count" if metric.kind == "histogram" else family(metric)


def _sum(expression: str, by: Iterable[str]) -> str:
    return f"sum{_by(by)} ({expression})"


def _by(by: Iterable[str]) -> str:
    names = ", ".join(label(name) for name in by)
    return f" by ({names})" if names else ""
