"""What docs/deployment.md tells its reader to type: the Proxy from a shell, and the scrape."""

import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._contract.prometheus import family, label
from litellm_cancel_otel._demo.fakes import Script, ThreadedFakeProvider
from support import children

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text()
BACKSTOP = 100

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        find_spec("litellm_proxy_extras") is None and os.environ.get("REQUIRE_ALL_TESTS") != "1",
        reason="the LiteLLM Proxy is not installed: pip install 'litellm[proxy]'",
    ),
]


def block(name: str) -> str:
    """Return a block of the page's code by the name in the comments around it."""
    found = re.search(rf"<!-- {name}:begin -->\n```\w+\n(.*?)```\n<!-- {name}:end -->", PAGE, re.S)
    assert found, f"the page has no block {name}"
    return found[1]


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def environment(**more: str) -> dict[str, str]:
    """Return what a reader's shell has set."""
    ours = ("OTEL_", "LITELLM_", "AZURE_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{Path(sys.executable).parent}:{inherited['PATH']}"
    return inherited | {"PATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True"} | more


class Proxy(NamedTuple):
    """A Proxy that was started as the page says, on other ports."""

    key: str
    address: str
    metrics: str
    provider: ThreadedFakeProvider

    def scrape(self, metric: sc.Metric) -> list[tuple[dict[str, str], float]]:
        """Return the samples of a counter."""
        lines = httpx.get(self.metrics, timeout=BACKSTOP).text.splitlines()
        samples = (re.fullmatch(rf"{family(metric)}{{(.*)}} (\S+)", line) for line in lines)
        return [
            (dict(re.findall(r'(\w+)="([^"]*)"', found[1])), float(found[2]))
            for found in samples
            if found
        ]


class Keyless(NamedTuple):
    """The same without a key."""

    process: children.Running[str]
    log: Path


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyless]:
    """Start the command of the page's block alone; nobody waits for it yet."""
    log = tmp_path_factory.mktemp("keyless") / "log"
    _, name, arguments = block("start").rpartition("litellm ")
    command = shlex.split(f"{name}{arguments}".replace("4000", str(free_port())))
    environ = environment(OTEL_METRICS_EXPORTER="none", OTEL_TRACES_EXPORTER="none")
    with log.open("w") as said:
        options = {"cwd": ROOT, "env": environ, "stdout": said, "stderr": children.STDOUT}
        with children.started(command, **options) as running:
            yield Keyless(running, log)


@pytest.fixture(scope="module")
def proxy(keyless: Keyless, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Type the page's block into a shell, and wait until the health check passes."""
    http, metrics = free_port(), free_port()
    typed = block("start").replace("--port 4000", f"--port {http}")
    assert str(http) in typed
    log = tmp_path_factory.mktemp("proxy") / "log"
    dockerfile = (ROOT / "deploy" / "proxy" / "Dockerfile").read_text()
    check = json.loads(dockerfile.partition("HEALTHCHECK")[2].partition("CMD")[2])
    health_check = [one.replace(":4000", f":{http}") for one in check]
    with ThreadedFakeProvider() as provider, log.open("w") as said:
        environ = environment(
            AZURE_API_BASE=provider.base_url,
            AZURE_API_KEY="fake-key",
            AZURE_API_VERSION="2024-10-21",
            OTEL_EXPORTER_PROMETHEUS_PORT=str(metrics),
        )
        options = {"cwd": ROOT, "env": environ, "stdout": children.PIPE, "stderr": said}
        with children.started(["bash", "-euc", typed], text=True, **options) as running:
            assert running.stdout is not None
            key = running.stdout.readline().strip()
            # Until LiteLLM listens, a connection is refused at once.
            while children.run(health_check, env=environ).returncode:
                assert running.poll() is None, log.read_text()[-3_000:]
            address = f"http://127.0.0.1:{http}"
            yield Proxy(key, address, f"http://127.0.0.1:{metrics}/metrics", provider)


def test_the_pages_files_are_those_of_the_repository() -> None:
    assert block("config") == (ROOT / "deploy/proxy/config.yaml").read_text()
    assert block("dockerfile") == (ROOT / "deploy/proxy/Dockerfile").read_text()


def test_without_a_master_key_it_does_not_start_and_says_so(keyless: Keyless) -> None:
    assert keyless.process.wait(BACKSTOP) > 0
    assert "LITELLM_MASTER_KEY" in keyless.log.read_text()


def test_the_clusters_probes_are_answered_without_a_key(proxy: Proxy) -> None:
    manifest = (ROOT / "deploy/kubernetes/proxy/proxy.yaml").read_text()
    paths = set(re.findall(r"path: (/health/\w+)", manifest))
    assert paths
    for path in paths:
        assert httpx.get(proxy.address + path, timeout=BACKSTOP).status_code == 200


def test_a_client_without_the_key_gets_no_answer(proxy: Proxy) -> None:
    answer = httpx.post(f"{proxy.address}/v1/chat/completions", json={}, timeout=BACKSTOP)
    assert answer.status_code >= 400  # 401; 500 where the database's client is not installed


def test_a_client_that_leaves_is_in_the_scrape(proxy: Proxy) -> None:
    proxy.provider.provider.script = Script(chunks=None, interval=0.01)
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    key = {"Authorization": f"Bearer {proxy.key}"}
    url = f"{proxy.address}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=key, timeout=BACKSTOP) as answer:
        assert answer.status_code == 200
        next(answer.iter_lines())
    exchange = proxy.provider.next_exchange(BACKSTOP)
    proxy.provider.run(exchange.wait_closed(BACKSTOP))
    while not (samples := proxy.scrape(sc.CANCELLATIONS)):
        pass
    ((labels, value),) = samples
    assert value == 1
    assert labels[label(sc.CANCELLATION_TYPE)] == sc.EXTERNAL
    assert labels[label(sc.SOURCE)] == "client_disconnect"
    assert labels[label(sc.PROVIDER)] == "azure.ai.openai"
    assert labels[label(sc.REQUEST_MODEL)] == "gpt-4o"
