"""Metrics without a collector, read as Prometheus reads them: by a scrape."""

import importlib
import inspect
import json
import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from support import children

BACKSTOP = 60

pytestmark = pytest.mark.skipif(
    find_spec("prometheus_client") is None and os.environ.get("REQUIRE_ALL_TESTS") != "1",
    reason="the extra prometheus is not installed",
)

OWN_REGISTRY = (
    find_spec("prometheus_client") is not None
    and "registry"
    in inspect.signature(
        importlib.import_module("opentelemetry.exporter.prometheus").PrometheusMetricReader
    ).parameters
)

BEGIN = """
import json, logging, os, socket, urllib.request
from litellm_cancel_otel._telemetry import pipeline as exports

warned = []
log = logging.getLogger("litellm_cancel_otel")
log.addFilter(lambda record: warned.append(record.getMessage()))
port = int(os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"])

def scrape(host="localhost"):
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()

def count(pipeline, amount):
    pipeline.meter_provider.get_meter("scope").create_counter("counter").add(amount)

def tell(**what):
    print(json.dumps({"warned": warned, **what}))
"""


@pytest.fixture
def port() -> Iterator[int]:
    """Yield a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    yield number


def told(code: str, port: object, **environ: str) -> Any:
    """Run code in a process of its own, and return what it tells."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    wanted = {
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }
    ended = children.run(
        [sys.executable, "-c", BEGIN + textwrap.dedent(code)],
        env=inherited | wanted | environ,
        timeout=BACKSTOP,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_what_was_counted_is_in_each_scrape_once(port: int) -> None:
    found = told(
        """
        pipeline = exports.resolve()
        count(pipeline, 7)
        first = scrape()
        count(pipeline, 1)
        pipeline.flush()
        tell(scrapes=[first, scrape()])
        """,
        port,
        OTEL_SERVICE_NAME="chat",
    )
    assert found["warned"] == []
    for text, value in zip(found["scrapes"], (7, 8), strict=True):
        samples = [line for line in text.splitlines() if line.startswith("counter_total")]
        assert [line.rpartition(" ")[2] for line in samples] == [f"{value}.0"]
        assert 'service_name="chat"' in text


def test_the_host_is_the_one_that_is_named(port: int) -> None:
    found = told(
        """
        exports.resolve()
        def reached(host):
            try:
                return isinstance(scrape(host), str)
            except OSError:
                return False
        tell(reached=[host for host in ("127.0.0.1", "127.0.0.2") if reached(host)])
        """,
        port,
        OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.2",
    )
    assert found == {"warned": [], "reached": ["127.0.0.2"]}


def test_the_port_is_free_after_the_shutdown_and_is_used_again(port: int) -> None:
    found = told(
        """
        first = exports.resolve()
        count(first, 7)
        first.shutdown()
        second = exports.resolve()
        count(second, 5)
        tell(text=scrape())
        """,
        port,
    )
    assert found["warned"] == []
    assert "counter_total" in found["text"]
    assert " 5.0" in found["text"]


@pytest.mark.skipif(not OWN_REGISTRY, reason="this exporter knows only the process's registry")
def test_the_registry_of_the_process_is_left_alone(port: int) -> None:
    found = told(
        """
        import prometheus_client
        mine = prometheus_client.Counter("mine", "of the application's")
        pipeline = exports.resolve()
        count(pipeline, 7)
        tell(ours=scrape(), processes=prometheus_client.generate_latest().decode())
        """,
        port,
    )
    assert "counter_total" in found["ours"]
    assert "mine_total" not in found["ours"]
    assert "mine_total" in found["processes"]
    assert "counter_total" not in found["processes"]


def test_a_port_that_is_taken_is_one_warning_and_calls_go_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = told(
            """
            pipeline = exports.resolve()
            count(pipeline, 7)
            tell(shut=pipeline.shutdown())
            """,
            taken.getsockname()[1],
            OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1",
        )
    (warning,) = found["warned"]
    assert "an exporter of metrics is left out: prometheus failed with OSError" in warning
    assert "already in use" in warning
    assert found["shut"] is True


def test_a_port_that_is_no_number_is_one_warning(port: int) -> None:
    found = told(
        """
        os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = "metrics"
        exports.resolve()
        tell()
        """,
        port,
    )
    (warning,) = found["warned"]
    assert "OTEL_EXPORTER_PROMETHEUS_PORT is 'metrics'; it must be a number" in warning


def test_without_the_extra_the_warning_names_the_package(port: int) -> None:
    found = told(
        """
        import sys
        sys.modules["prometheus_client"] = None
        exports.resolve()
        tell()
        """,
        port,
    )
    (warning,) = found["warned"]
    assert "the package opentelemetry-exporter-prometheus is not installed" in warning


def test_a_forked_child_leaves_the_port_to_its_parent_and_ends_at_once(port: int) -> None:
    found = told(
        """
        pipeline = exports.resolve()
        count(pipeline, 7)
        there, here = os.pipe()
        if (child := os.fork()) == 0:
            os.write(here, b"in time" if pipeline.shutdown() else b"too late")
            os._exit(0)
        text = scrape()
        ended = os.read(there, 100).decode()
        os.waitpid(child, 0)
        hold, release = os.pipe()
        if (child := os.fork()) == 0:
            os.read(hold, 1)
            os._exit(0)
        pipeline.shutdown()
        exports.resolve()  # while the child lives
        os.write(release, b"x")
        os.waitpid(child, 0)
        tell(text=text, ended=ended)
        """,
        port,
    )
    assert found["warned"] == []
    assert "counter_total" in found["text"]
    assert found["ended"] == "in time"
