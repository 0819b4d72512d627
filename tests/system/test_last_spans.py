"""The spans of a process's last cancels arrive, whatever it ends by; each in its own process."""

import os
import re
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import children, warm

TESTS = str(Path(__file__).parents[1])
MANY = 200

IMPORTS = """
import asyncio, multiprocessing, os, sys, threading, warnings
warnings.simplefilter("ignore")
from opentelemetry import trace
from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry
from support.last_spans import cancel, leave, pieces, provider
"""

ENDS = {
    "a short script": """
telemetry = CancelTelemetry(tracer_provider=provider())
asyncio.run(cancel(MANY))
""",
    "a runner that cancels what is left": """
telemetry = CancelTelemetry(tracer_provider=provider())
asyncio.run(leave(MANY))
""",
    "a provider that is set after us": """
telemetry = CancelTelemetry()
trace.set_tracer_provider(provider())
asyncio.run(cancel(MANY))
""",
    "such a provider, which is stopped": """
telemetry = CancelTelemetry()
trace.set_tracer_provider(provider())
asyncio.run(cancel(MANY))
trace.get_tracer_provider().shutdown()
os._exit(0)
""",
    "a provider that is flushed": """
telemetry = CancelTelemetry(tracer_provider=(tracers := provider()))
asyncio.run(cancel(MANY))
tracers.force_flush()
os._exit(0)
""",
    "a thread that outlives the script": """
telemetry = CancelTelemetry(tracer_provider=provider())
ready = threading.Event()
async def work():
    tasks = await leave(MANY)
    ready.set()
    while threading.main_thread().is_alive():
        await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
threading.Thread(target=lambda: asyncio.run(work())).start()
ready.wait()
""",
    "close": """
telemetry = CancelTelemetry(tracer_provider=(tracers := provider(batch=False)))
asyncio.run(cancel(MANY))
telemetry.close()
os._exit(0)
""",
    "a forked child": """
telemetry = CancelTelemetry(tracer_provider=(tracers := provider()))
if child := os.fork():
    os.waitpid(child, 0)
else:
    asyncio.run(cancel(MANY))
""",
    "a forked child, and its parent": """
telemetry = CancelTelemetry(tracer_provider=(tracers := provider()))
asyncio.run(cancel(MANY // 2))
if child := os.fork():  # with what the parent has not yet recorded
    os.waitpid(child, 0)
else:
    asyncio.run(cancel(MANY // 2))
""",
    "a child of multiprocessing, which runs no exit handlers": """
telemetry = CancelTelemetry(tracer_provider=provider(batch=False))
def work():
    asyncio.run(cancel(MANY))
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
""",
}

SERVER = """
import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

async def endpoint(request):
    return StreamingResponse(pieces())

telemetry = CancelTelemetry(tracer_provider=provider(batch=False))
app = Starlette(routes=[Route("/", endpoint)])
uvicorn.run(AROUND(app), port=0, timeout_graceful_shutdown=1)
"""


def whole(code: str) -> str:
    return f"{IMPORTS}\nMANY = {MANY}\n{code}"


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    places = [TESTS, *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(places)}


def assert_all_arrived(ended: children.Ended[str]) -> None:
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split().count("span") == MANY


@pytest.mark.parametrize("end", ENDS)
def test_all_spans_arrive_by(end: str) -> None:
    assert_all_arrived(warm.run(whole(ENDS[end]), env=environment()))


@pytest.mark.long
def test_all_spans_arrive_from_a_process_that_is_no_fork() -> None:
    command = [sys.executable, "-W", "ignore", "-c", whole(ENDS["a short script"])]
    assert_all_arrived(children.run(command, env=environment()))


@pytest.mark.parametrize("around", ["CancellationMiddleware", "(lambda app: app)"])
def test_all_spans_arrive_by_a_server_that_is_told_to_stop(around: str, tmp_path: Path) -> None:
    clients, log, out = 20, tmp_path / "log", tmp_path / "out"
    with (
        ExitStack() as opened,
        log.open("w") as stderr,
        out.open("w") as stdout,
        warm.started(
            whole(SERVER.replace("AROUND", around)),
            env=environment(),
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        ) as server,
    ):
        # What it says on the way is the only word of its port.
        port = _port(log, server)
        for _ in range(clients):
            client = opened.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            said = b""
            while b"piece" not in said:
                said += client.recv(4_096)
        server.send_signal(signal.SIGTERM)
        server.wait(30)

    assert out.read_text().split().count("span") == clients, log.read_text()


def _port(log: Path, server: warm.Running) -> int:
    while server.poll() is None:
        if found := re.search(r"running on http://127.0.0.1:(\d+)", log.read_text()):
            return int(found[1])
    raise AssertionError(log.read_text())
