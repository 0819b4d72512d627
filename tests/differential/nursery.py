"""A warm process that forks a child for each pattern: ``python -m tests.differential.nursery``.

To import LiteLLM takes seconds, a pattern milliseconds. So this process imports once what the
patterns need, makes no loop and no thread, and forks. The children of the side without the
package come first: only then is the package imported. Jobs come as JSON on standard input; each
observation goes as a line of JSON to standard output.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypedDict

import litellm_cancel_otel
from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from . import child, scout  # noqa: E402 - LiteLLM's variables come first
from .observation import Observation  # noqa: E402 - the same
from .pattern import Loop, Transport, every_pattern, planted  # noqa: E402 - the same


class Job(TypedDict):
    """One run of a pattern."""

    pattern: str
    transport: Transport
    loop: Loop
    package: bool


@dataclass(slots=True)
class Running:
    """A child."""

    job: Job
    pid: int
    pipe: int
    folder: tempfile.TemporaryDirectory[str]
    until: float
    said: bytes = b""

    @property
    def stacks(self) -> str:
        """Where the child hung."""
        file = Path(self.folder.name) / "stacks"
        return file.read_text() if file.exists() else ""


def start(job: Job) -> Running:
    """Fork a child for a job."""
    folder = tempfile.TemporaryDirectory(prefix="differential-")
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.close(reading)
        child.main(lambda: _work(job, Path(folder.name), writing))
    os.close(writing)
    return Running(job, pid, reading, folder, time.monotonic() + child.HANGS_AFTER + 1)


def _work(job: Job, folder: Path, pipe: int) -> None:
    with (folder / "output").open("w") as out, (folder / "stacks").open("a") as stacks:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        child.watch_for_hang(stacks)
        try:
            seen = child.run(
                PATTERNS[job["pattern"]],
                job["transport"],
                job["loop"],
                folder,
                package=job["package"],
            )
        except BaseException:
            traceback.print_exc()
            raise
        with os.fdopen(pipe, "w") as said:
            json.dump(seen, said)


def run(jobs: Iterable[Job], at_once: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run the jobs, so many at a time, and yield what each saw."""
    waiting, running = list(jobs)[::-1], 0
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and running < at_once:
                started = start(waiting.pop())
                selector.register(started.pipe, selectors.EVENT_READ, started)
                running += 1
            ready = {key.data.pid for key, _ in selector.select(timeout=0.5)}
            for one in [key.data for key in list(selector.get_map().values())]:
                if one.pid in ready:
                    data = os.read(one.pipe, 1 << 16)
                    one.said += data
                    over = not data
                else:
                    over = time.monotonic() > one.until
                if over:
                    selector.unregister(one.pipe)
                    running -= 1
                    yield one.job, _ended(one)


def _ended(one: Running) -> dict[str, Any]:
    """Return what a child saw, or how it ended without a word."""
    os.close(one.pipe)
    hung = time.monotonic() > one.until
    if hung:
        os.kill(one.pid, signal.SIGKILL)
    _, status = os.waitpid(one.pid, 0)
    try:
        if one.said and not status:
            seen: dict[str, Any] = json.loads(one.said)
            return seen
        if hung:
            return asdict(Observation(end="hang", stacks=one.stacks.splitlines()))
        output = (Path(one.folder.name) / "output").read_text().splitlines()
        return asdict(Observation(end=f"died: {status}", stacks=output[-20:]))
    finally:
        one.folder.cleanup()


PATTERNS = every_pattern()


def main() -> None:
    """Run the jobs of standard input."""
    asked = json.load(sys.stdin)
    if asked["planted"]:
        PATTERNS.update(planted())
    out = os.fdopen(os.dup(1), "w")
    quiet.libraries()
    scout.warm()

    def tell(job: Job, seen: dict[str, Any]) -> None:
        print(json.dumps({"job": job, "seen": seen}), file=out, flush=True)

    jobs: list[Job] = asked["jobs"]
    sides: list[tuple[bool, Callable[[], None]]] = [(False, scout.freeze), (True, _the_package)]
    for package, before in sides:
        before()
        mine = [job for job in jobs if job["package"] is package]
        for job in mine:
            if why := _pending(job):
                tell(job, asdict(Observation(end=f"pending: {why}")))
        for job, seen in run((job for job in mine if not _pending(job)), asked["at_once"]):
            tell(job, seen)


def _pending(job: Job) -> str:
    needs = PATTERNS[job["pattern"]].needs
    if needs and needs not in litellm_cancel_otel.__all__:
        return f"the package has no {needs}"
    if job["loop"] == "eager" and sys.version_info < (3, 12):
        return "no eager tasks before Python 3.12"
    return ""


def _the_package() -> None:
    for name in ("_integration.callback", "_integration.middleware", "_cli"):
        import_module(f"litellm_cancel_otel.{name}")
    import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    with suppress(ImportError):  # openai 3's HTTP client, where it is there
        import_module("httpx2")
    scout.freeze()


if __name__ == "__main__":
    main()
