"""Reads the endpoint that a Prometheus would scrape, of any process."""

import math
import urllib.error
import urllib.request
from typing import Final

# mypy may run without the extra that brings it.
from prometheus_client.parser import (  # type: ignore[import-not-found, unused-ignore]
    text_string_to_metric_families,
)

from .._contract import semconv as sc
from .._contract.prometheus import family, label
from .._contract.records import Reason
from .readings import Metrics, Model, Unreadable

_PATIENCE: Final = 5.0

_OPEN: Final = family(sc.STREAMS_OPEN)
_STUCK: Final = family(sc.STREAMS_STUCK)
_OLDEST: Final = family(sc.OLDEST_AFTER_DISCONNECT)
_CANCELLED: Final = family(sc.CANCELLATIONS)
_OURS: Final = family(sc.CALLS).partition("_calls")[0]


def read(url: str) -> Metrics:
    """Return what the endpoint says; raise Unreadable where there is nothing to be had of it."""
    models: dict[tuple[str, str], Model] = {}
    seen = False
    try:
        for metric in text_string_to_metric_families(_text(url)):
            for sample in metric.samples:
                seen = seen or sample.name.startswith(_OURS)
                _add(models, sample.name, sample.labels, sample.value)
    except ValueError as exc:
        raise Unreadable(f"{url} is no Prometheus endpoint: {exc}") from None
    if not seen:
        raise Unreadable(
            f"{url} has no metric of litellm-cancel-otel: the process must export to Prometheus, "
            "and have ended a call"
        )
    return Metrics(url, models)


def _text(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Unreadable(f"{url} is no URL of http or https")
    request = urllib.request.Request(url, headers={"accept": "text/plain; version=0.0.4"})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as exc:
        exc.close()
        raise Unreadable(f"{url} answers with status {exc.code}") from None
    except OSError as exc:
        raise Unreadable(f"{url} cannot be reached: {getattr(exc, 'reason', exc)}") from None
    return body.decode(errors="replace")


def _add(
    models: dict[tuple[str, str], Model], name: str, labels: dict[str, str], value: float
) -> None:
    if name not in (_OPEN, _STUCK, _OLDEST, _CANCELLED) or not math.isfinite(value):
        return
    whose = labels.get(label(sc.PROVIDER), "?"), labels.get(label(sc.REQUEST_MODEL), "?")
    model = models.setdefault(whose, Model())
    if name == _OPEN:
        model.open += int(value)
    elif name == _OLDEST:
        model.oldest_after_disconnect = max(model.oldest_after_disconnect, value)
    elif name == _CANCELLED:
        kind = labels.get(label(sc.CANCELLATION_TYPE), "?")
        model.cancelled[kind] = model.cancelled.get(kind, 0) + int(value)
    elif (reason := labels.get(label(sc.REASON))) in set(Reason):
        model.stuck[Reason(reason)] = model.stuck.get(Reason(reason), 0) + int(value)
