"""The real parts of the stack, each started for a test on loopback and stopped behind it."""

import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pytest
import yaml

from support import children

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "grafana"
BACKSTOP = 60.0
"""Seconds after which a wait is a failure."""

REQUIRE_ALL = os.environ.get("REQUIRE_ALL_TESTS") == "1"


def program(*names: str) -> str:
    """Return the path of a program that Debian packages; without it the test is skipped."""
    for name in names:
        if found := shutil.which(name):
            return found
    missing(f"{names[0]} is not installed (Debian: apt-get install {names[0]})")


def missing(why: str) -> NoReturn:
    """Skip the test, or fail it where everything is required."""
    if REQUIRE_ALL:
        pytest.fail(why)
    pytest.skip(why)


def wait_until(what: str, holds: Callable[[], Any], timeout: float = BACKSTOP) -> Any:
    """Return the first true value; fail after the backstop."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (found := holds()):
        assert time.monotonic() < deadline, f"after {timeout:g} s there is still no {what}"
        pause.wait(0.1)
    return found


class Server:
    """A program that serves HTTP on a port of loopback."""

    ready = "/-/ready"

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        command = self.command()
        self._log = (self.home / "log").open("wb")
        self._process = children.start(command, stdout=self._log, stderr=children.STDOUT)
        try:
            wait_until(f"{command[0]} on {self.port}", self._is_ready)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        with suppress(children.TimeoutExpired):
            self._process.wait(10)
        children.end(self._process)
        self._log.close()

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError((self.home / "log").read_text())
        try:
            with urllib.request.urlopen(self.url + self.ready, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return the JSON at a path; an error of the server's fails the test with its text."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(f"{parameters}: {exc.read().decode()}") from None


class Prometheus(Server):
    """A Prometheus that scrapes the given ports, with the given rules.

    ``past`` are series, each with its value: they have been so for three hours, until 15 minutes
    ago.
    """

    def __init__(
        self,
        home: Path,
        targets: Mapping[str, int],
        *,
        job: str = "chat",
        interval: str = "500ms",
        rules: Sequence[Path] = (),
        alertmanager: "Alertmanager | None" = None,
        past: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(home)
        self.past = past or {}
        self.config = home / "prometheus.yml"
        static = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}}
            for name, port in targets.items()
        ]
        content: dict[str, Any] = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "scrape_configs": [{"job_name": job, "static_configs": static}],
            "rule_files": [str(path) for path in rules],
        }
        if alertmanager is not None:
            receiver = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
            content["alerting"] = {"alertmanagers": [receiver]}
        self.config.write_text(yaml.safe_dump(content))

    def command(self) -> list[str]:
        return [
            program("prometheus"),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.home / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]

    def __enter__(self) -> Self:
        if self.past:
            self._write_past()
        return super().__enter__()

    def _write_past(self) -> None:
        now = int(time.time())
        times = range(now - 3 * 3600, now - 15 * 60, 60)
        lines = [f"{name} {value} {at}" for name, value in self.past.items() for at in times]
        text = self.home / "past.txt"
        text.write_text("\n".join([*lines, "# EOF\n"]))
        command = [program("promtool", "prometheus"), "tsdb", "create-blocks-from", "openmetrics"]
        ended = children.run([*command, "--quiet", str(text), str(self.home / "data")])
        assert ended.returncode == 0, ended.stdout + ended.stderr

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return what an expression is now."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expr)["data"]["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return what an expression was over time."""
        answer = self.get("/api/v1/query_range", query=expr, start=start, end=end, step=step)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """Return the alerts that are pending or firing, by name."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self.get("/api/v1/alerts")["data"]["alerts"]:
            found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found


class Alertmanager(Server):
    """An Alertmanager that tells one webhook, at once."""

    def __init__(self, home: Path, webhook: str) -> None:
        super().__init__(home)
        self.config = home / "alertmanager.yml"
        route = {"receiver": "sink", "group_by": ["..."], "group_wait": "0s"}
        route |= {"group_interval": "1s", "repeat_interval": "1h"}
        hook = {"url": webhook, "send_resolved": True}
        receivers = [{"name": "sink", "webhook_configs": [hook]}]
        self.config.write_text(yaml.safe_dump({"route": route, "receivers": receivers}))

    def command(self) -> list[str]:
        return [
            program("prometheus-alertmanager", "alertmanager"),
            f"--config.file={self.config}",
            f"--storage.path={self.home / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]


class Webhook:
    """What somebody on call would be told."""

    def __enter__(self) -> Self:
        told = self.told = {}  # type: dict[str, dict[str, Any]]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for alert in json.loads(body)["alerts"]:
                    if alert["status"] == "firing":
                        told[alert["labels"]["alertname"]] = alert
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def impatient(rules: Sequence[Path], home: Path) -> list[Path]:
    """Return copies of rule files that are evaluated all the time, and whose alerts wait for 1 s.

    Expressions, labels and texts are those that are shipped.
    """
    home.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in rules:
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            del group["interval"]
            for rule in group["rules"]:
                if "for" in rule:
                    rule["for"] = "1s"
        copies.append(home / path.name)
        copies[-1].write_text(yaml.safe_dump(content))
    return copies


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
