"""A real Prometheus scrapes an application that has no collector, as docs/deployment.md says."""

import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from grafana_stack import ROOT, Prometheus, free_port, wait_until

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import family
from support import children

pytestmark = pytest.mark.long

APPLICATION = """
import sys
from litellm_cancel_otel import CancelTelemetry

with CancelTelemetry():
    sys.stdin.read()
"""


class Documented(Prometheus):
    """A Prometheus with the page's configuration, on another port and in a hurry."""

    def __init__(self, home: Path, port: int) -> None:
        super().__init__(home, {})
        page = (ROOT / "docs" / "deployment.md").read_text()
        (told,) = re.findall(r"^```yaml\n# prometheus.yml\n(.*?)^```$", page, re.M | re.DOTALL)
        content = yaml.safe_load(told)
        (scrape,) = content["scrape_configs"]
        assert scrape["static_configs"] == [{"targets": ["127.0.0.1:9464"]}]
        scrape["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        scrape |= {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
        self.config.write_text(yaml.safe_dump(content))


def test_prometheus_scrapes_an_application_without_a_collector(tmp_path: Path) -> None:
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "OTEL_METRICS_EXPORTER": "prometheus",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
    }
    command = [sys.executable, "-c", APPLICATION]
    with (
        children.started(command, env=environ, stdin=children.PIPE),
        Documented(tmp_path / "prometheus", port) as prometheus,
    ):
        heartbeat = family(sc.INTERNAL_ERRORS)
        (found,) = wait_until("heartbeat", lambda: prometheus.query(heartbeat))
    assert found["metric"]["job"] == "litellm-proxy"
    assert found["metric"]["instance"] == f"127.0.0.1:{port}"
