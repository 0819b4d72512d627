"""gunicorn that loads the application before it forks: each worker speaks for itself."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from disconnect.servers import free_port
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import Script, ThreadedFakeProvider
from support import children
from support.otlp_sink import OtlpSink, ReceivedMetric

pytestmark = pytest.mark.skipif(
    find_spec("uvicorn_worker") is None and os.environ.get("REQUIRE_ALL_TESTS") != "1",
    reason="gunicorn is not installed: pip install gunicorn uvicorn-worker",
)

INSTANCE = "service.instance.id"
MOST = 64
"""Requests until each worker has had one: who accepts is the kernel's choice."""


class Preforked:
    """A gunicorn of two workers; use it with ``with``."""

    def __init__(self, provider: str, sink: OtlpSink, log: Path) -> None:
        self.log = log
        self.port = free_port()
        with log.open("w") as output:
            self.process = children.start(
                [
                    *(sys.executable, "-m", "gunicorn", "support.preloaded:app", "--preload"),
                    *("--workers", "2", "--worker-class", "support.preloaded.Worker"),
                    *("--bind", f"127.0.0.1:{self.port}"),
                ],
                cwd=Path(__file__).parents[1],
                env={
                    **os.environ,
                    **sink.env("http/protobuf"),
                    "OTEL_METRIC_EXPORT_INTERVAL": "200",
                    "LITELLM_CANCEL_OTEL_STUCK_NO_CHUNK": "0.5",
                    "LITELLM_CANCEL_OTEL_WATCHDOG_INTERVAL": "0.1",
                    "PRELOADED_PROVIDER": provider,
                },
                stdout=output,
                stderr=children.STDOUT,
            )

    def __enter__(self) -> "Preforked":
        return self

    def __exit__(self, *_: object) -> None:
        children.end(self.process)


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


def newest(sink: OtlpSink, metric: sc.Metric) -> dict[str, int]:
    """Return what each process said last of a metric, over all its attributes; nothing for 0."""
    last: dict[str, ReceivedMetric] = {
        one.resource[INSTANCE]: one for one in sink.metrics if one.name == metric.name
    }
    totals = {name: sum(value for _, value in one.points) for name, one in last.items()}
    return {name: total for name, total in totals.items() if total}


@pytest.mark.long
def test_each_worker_finds_and_counts_its_own(sink: OtlpSink, tmp_path: Path) -> None:
    with ExitStack() as stack:
        threaded = stack.enter_context(ThreadedFakeProvider(Script(chunks=None, hang_at=2)))
        log = tmp_path / "log"
        site = stack.enter_context(Preforked(threaded.provider.base_url, sink, log))
        transport = httpx.HTTPTransport(retries=100)  # until it listens
        http = stack.enter_context(httpx.Client(transport=transport, timeout=60))
        asked: Counter[str] = Counter()
        while len(asked) < 2 and asked.total() < MOST:
            answer = stack.enter_context(http.stream("GET", f"http://127.0.0.1:{site.port}/"))
            asked[answer.headers["worker"]] += 1
        by_worker = sorted(asked.values())
        assert len(by_worker) == 2

        sink.wait_for(lambda _: sorted(newest(sink, sc.STREAMS_STUCK).values()) == by_worker)
        assert newest(sink, sc.STREAMS_OPEN) == newest(sink, sc.STREAMS_STUCK)

        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(30) == 0, log.read_text()

    assert sorted(newest(sink, sc.CANCELLATIONS).values()) == by_worker
    assert newest(sink, sc.CALLS) == newest(sink, sc.CANCELLATIONS)
    assert newest(sink, sc.INTERNAL_ERRORS) == {}
    ends = [one for one in sink.spans if sc.SOURCE in one.attributes]
    assert sorted(Counter(one.resource[INSTANCE] for one in ends).values()) == by_worker
    assert {one.attributes[sc.SOURCE] for one in ends} == {"shutdown"}
