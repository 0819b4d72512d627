"""Real servers: the script of LiteLLM issue 11546, and a server's end by a signal."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from disconnect.cells import Close
from disconnect.clients import Client
from disconnect.servers import ROOT, free_port
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from support import children
from support.otlp_sink import OtlpSink

PYTHONPATH = os.pathsep.join((str(ROOT), str(ROOT / "src")))


class Site:
    """A site on uvicorn, in a process of its own, and what it has printed."""

    def __init__(self, port: int, process: children.Process) -> None:
        self.port = port
        self.process = process

    async def prints(self, line: str, backstop: float) -> bool:
        """Return whether the line is printed before the time is over."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(backstop):
                while found := await self.process.stdout.readline():
                    if found.decode().strip() == line:
                        return True
        except TimeoutError:
            pass
        return False


@asynccontextmanager
async def uvicorn(app: str, environ: Mapping[str, str]) -> AsyncIterator[Site]:
    """Run an application on uvicorn until the block is left."""
    port = free_port()
    arguments = ["-W", "ignore", "-m", "uvicorn", app, "--port", str(port), "--log-level", "error"]
    command = [sys.executable, *arguments]
    environ = {**os.environ, "PYTHONPATH": PYTHONPATH, **environ}
    output = {"stdout": children.PIPE, "stderr": children.DEVNULL}
    async with children.astarted(command, cwd=ROOT, env=environ, **output) as process:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield Site(port, process)


async def stops_reading(site: Site, provider: FakeProvider) -> Client:
    """Return a client that has stopped reading long enough for its server to notice."""
    client = Client(site.port, reads=False)
    await client.ask("/stream")
    exchange = await provider.next_exchange(30)
    await exchange.wait_chunks(50, 30)
    return client


class TestIssue11546:
    SCRIPT = "tests.disconnect.issue_11546:app"

    async def test_finally_is_called_at_once(self, provider: FakeProvider) -> None:
        provider.script = Script(chunks=None, interval=0.02)
        environ = {"PACKAGE": "with", "AZURE_API_BASE": provider.base_url}
        async with uvicorn(self.SCRIPT, environ) as site:
            client = await stops_reading(site, provider)

            left = client.leave(Close.FIN)

            assert await site.prints("finally called", 5)
            assert time.perf_counter() - left < 1
            await provider.wait_idle()

    @pytest.mark.long
    async def test_without_the_two_lines_it_is_not(self, provider: FakeProvider) -> None:
        provider.script = Script(chunks=None, interval=0.02)
        environ = {"PACKAGE": "without", "AZURE_API_BASE": provider.base_url}
        async with uvicorn(self.SCRIPT, environ) as site:
            client = await stops_reading(site, provider)

            client.leave(Close.FIN)

            assert not await site.prints("finally called", 5)


class TestShutdown:
    @pytest.mark.long
    async def test_sigterm_delivers_what_was_recorded(self, provider: FakeProvider) -> None:
        provider.script = Script(chunks=None, hang_at=20)
        with OtlpSink() as sink:
            environ = {
                "PACKAGE": "with",
                "AZURE_API_BASE": provider.base_url,
                "OTEL_BSP_SCHEDULE_DELAY": "600000",  # nothing is exported by and by
                "OTEL_METRIC_EXPORT_INTERVAL": "600000",
                **sink.env("http/protobuf"),
            }
            async with uvicorn(TestIssue11546.SCRIPT, environ) as site:
                client = Client(site.port)
                await client.ask("/stream")
                exchange = await provider.next_exchange(30)
                await exchange.wait_hanging()
                client.leave(Close.RST)
                assert await site.prints("finally called", 5)

                site.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    await site.process.wait()

            ours = [span for span in sink.spans if span.scope == "litellm_cancel_otel"]
            counted = [one for one in sink.metrics if one.name == sc.CANCELLATIONS.name]
        assert [span.attributes[sc.SOURCE] for span in ours] == ["client_disconnect"]
        assert counted
