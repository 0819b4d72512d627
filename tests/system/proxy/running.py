"""A real ``litellm --config`` process, and the OTLP receiver that its telemetry goes to."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import Exchange, ThreadedFakeProvider
from support import children
from support.otlp_sink import OtlpSink, ReceivedSpan

BACKSTOP = 30.0
START_UP = 100.0
LITELLM = Path(sys.executable).with_name("litellm")
CALL_ID = "x-litellm-call-id"

ENVIRON = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # As its first run suggests for trying it out: no key is asked for.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "OTEL_BSP_SCHEDULE_DELAY": "50",
}


class RunningProxy:
    """Use it with ``with``; ``ready()`` waits until it answers."""

    def __init__(self, home: Path, config: Mapping[str, Any], **environ: str) -> None:
        self._home = home
        self._config = home / "config.yaml"
        self._config.write_text(json.dumps(config))  # which is YAML
        self._log = home / "proxy.log"
        self._environ = environ
        self.sink = OtlpSink()

    def __enter__(self) -> Self:
        self.sink.__enter__()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        ours = ("OTEL_", "LITELLM_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        with self._log.open("w") as log:
            self.process = children.start(
                [
                    LITELLM,
                    "--config",
                    self._config,
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                ],
                env={**inherited, **ENVIRON, **self.sink.env("http/protobuf"), **self._environ},
                cwd=self._home,
                stdout=log,
                stderr=children.STDOUT,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=BACKSTOP)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.http.close()
        if self.process.poll() is not None:  # shown where a test fails
            print(f"the proxy ended with {self.process.returncode}; it said:\n{self.log[-3000:]}")
        children.end(self.process)
        self.sink.__exit__(kind, exc, traceback)

    def ready(self) -> Self:
        """Wait until the proxy answers."""
        until = time.monotonic() + START_UP
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.http.get("/health/liveliness").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the proxy does not run; it said:\n{self.log[-3000:]}")

    @property
    def log(self) -> str:
        """What the proxy has printed."""
        return self._log.read_text()

    def span(self, call_id: str) -> ReceivedSpan:
        """Return the first span of a call, as soon as it has come."""
        self.sink.wait_for(lambda _: self.spans(call_id), BACKSTOP)
        return self.spans(call_id)[0]

    def spans(self, call_id: str) -> list[ReceivedSpan]:
        """Return the spans of a call that have come."""
        return [one for one in self.sink.spans if one.attributes.get(sc.CALL_ID) == call_id]

    def count(self, metric: sc.Metric, **attributes: object) -> int:
        """Return the newest value of a counter, of all points with these attributes."""
        exports = [one for one in self.sink.metrics if one.name == metric.name]
        points = exports[-1].points if exports else []
        return sum(value for found, value in points if attributes.items() <= found.items())

    def terminate(self) -> int:
        """Stop the proxy as a supervisor does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(BACKSTOP)


class Client:
    """A client on a connection of its own, which it may leave at any byte; use it with ``with``."""

    def __init__(
        self, proxy: RunningProxy, path: str, body: Mapping[str, Any], call_id: str
    ) -> None:
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: proxy\r\ncontent-type: application/json\r\n"
            f"{CALL_ID}: {call_id}\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        self._socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=BACKSTOP)
        self._socket.sendall(head.encode() + content)
        self.got = b""
        self.left_at = 0.0
        """When it left, in seconds of ``time.perf_counter()``."""
        self.left_ns = 0
        """When it left, by the wall clock."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read(self, events: int) -> None:
        """Read on until that many server-sent events have come."""
        while self.got.count(b"data:") < events:
            data = self._socket.recv(65536)
            assert data, f"the proxy ended the answer: {self.got!r}"
            self.got += data

    def leave(self) -> None:
        """Close the connection."""
        self.left_at, self.left_ns = time.perf_counter(), time.time_ns()
        self._socket.close()


def exchange_of(provider: ThreadedFakeProvider, call_id: str) -> Exchange:
    """Return the provider's side of the call whose request mentions this id."""
    while True:
        exchange = provider.next_exchange(BACKSTOP)
        if call_id in json.dumps(exchange.payload):
            return exchange
