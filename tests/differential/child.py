"""Runs one pattern, in a process that was forked for it alone."""

from __future__ import annotations

import asyncio
import faulthandler
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import litellm

from litellm_cancel_otel._demo.fakes import ThreadedFakeProvider, aclose_litellm_clients

from .application import App, named
from .observation import Observation
from .pattern import Loop, Pattern, Transport
from .witness import Witness, left, streams_left


def run(
    pattern: Pattern, transport: Transport, loop: Loop, folder: Path, *, package: bool
) -> dict[str, Any]:
    """Run a pattern and return what it saw."""
    _like_a_new_process()
    os.environ["DISABLE_AIOHTTP_TRANSPORT"] = str(transport == "httpx")
    began = time.monotonic()
    witness = Witness()
    reader = _telemetry() if package else None
    if reader is None:
        litellm.callbacks = [litellm.integrations.custom_logger.CustomLogger()]
    files = folder / "files"
    files.mkdir()
    with ThreadedFakeProvider() as provider:
        app = App(provider, files, package=package)
        seen = Observation(books=app.books, complaints=witness.complaints)
        if inspect.iscoroutinefunction(pattern.run):
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                runner.run(_run(pattern, app, seen, folder))
        else:
            try:
                pattern.run(app)
            except BaseException as exc:
                seen.end = named(exc)
        seen.streams = streams_left()
    seen.seconds = time.monotonic() - began
    seen.files = {path.name: path.read_text() for path in sorted(files.iterdir())}
    if reader is not None:
        seen.faults += _faults(reader, seen)
    return asdict(seen)


def _like_a_new_process() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop of that kind."""
    if loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    if loop == "eager":
        return _eager_loop
    return asyncio.new_event_loop


def _eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    return loop


async def _run(pattern: Pattern, app: App, seen: Observation, folder: Path) -> None:
    running: Any = pattern.run(app)
    loop = asyncio.get_running_loop()
    loop.call_later(HANGS_AFTER * 0.9, _stacks, folder / "stacks")
    try:
        await running
    except BaseException as exc:
        seen.end = named(exc)
    seen.tasks, seen.exchanges = await left(app.provider.provider)
    await aclose_litellm_clients()


HANGS_AFTER = float(os.environ.get("DIFFERENTIAL_HANGS_AFTER", "30"))
"""Seconds after which a pattern hangs: no application here takes more than three."""


def watch_for_hang(file: TextIO) -> None:
    """Write where every thread is if this process is still here when it should not."""
    faulthandler.dump_traceback_later(HANGS_AFTER, file=file)


def _stacks(file: Path) -> None:
    """Write what each task waits for, outermost first."""
    with file.open("a") as out:
        for task in asyncio.all_tasks():
            print(task.get_name(), file=out)
            waiting: Any = task.get_coro()
            while (frame := getattr(waiting, "cr_frame", None)) is not None:
                code = frame.f_code
                print(f"  {code.co_filename}:{frame.f_lineno} {code.co_qualname}", file=out)
                waiting = waiting.cr_await


def _telemetry() -> Any:
    """Create the package's telemetry, as its user does; return where its metrics are read."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from litellm_cancel_otel import CancelTelemetry

    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    reader = InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[reader])
    litellm.callbacks = [CancelTelemetry(tracer_provider=tracers, meter_provider=meters)]
    return reader


def _faults(reader: Any, seen: Observation) -> list[str]:
    """Return what the package's own metrics say against it."""
    import litellm

    from litellm_cancel_otel import CancelTelemetry

    for callback in litellm.callbacks:
        if isinstance(callback, CancelTelemetry):
            callback.flush()  # what was dropped is told by a thread
    told = _told(reader)
    for attributes, value in told.get("litellm_cancel.guard.actions", ()):
        seen.guard[attributes["action"]] = value
    found = []
    if faults := _sum(told, "litellm_cancel.internal_errors"):
        found.append(f"{faults} internal errors")
    still_open = _sum(told, "litellm_cancel.streams.open")
    if still_open > seen.streams:
        found.append(f"{still_open} streams told as open, {seen.streams} are alive")
    return found


def _told(reader: Any) -> dict[str, list[tuple[Any, int]]]:
    """Return the attributes and values of every metric, by its name."""
    data = reader.get_metrics_data()
    return {
        metric.name: [
            (point.attributes, point.value)
            for point in metric.data.data_points
            if hasattr(point, "value")
        ]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def _sum(told: dict[str, list[tuple[Any, int]]], name: str) -> int:
    return sum(value for _, value in told.get(name, ()))


def main(work: Callable[[], None]) -> None:
    """Do a child's work and end the process, whatever happens."""
    code = 1
    try:
        work()
        code = 0
    except BaseException as exc:
        print(named(exc), file=sys.stderr)
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
