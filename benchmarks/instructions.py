"""What watching costs in machine instructions: ``python -m benchmarks.instructions``.

Valgrind's cachegrind counts them, in every thread, whatever else the machine does. It counts a
whole process, so that each piece of work is done a few times in one process and more often in
another: the difference is the work alone. The second bare side says what is noise.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Final

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

TIMES: Final = {"call": (20, 120), "chunk": (50, 450)}
"""How often each piece of work is done in the two processes that are compared."""

SIDES: Final = ("bare", "bare again", "this package")

_COUNTED: Final = re.compile(r"I +refs: +([\d,]+)")


def counted(side: str, work: str, times: int) -> int:
    """Return the instructions of a process that does a piece of work so many times."""
    child = [sys.executable, "-m", "benchmarks.instructions"]
    ended = subprocess.run(
        [
            *("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
            *(*child, "--side", side, "--work", work, "--times", str(times)),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},  # the same dictionaries in each
        capture_output=True,
        text=True,
    )
    found = _COUNTED.search(ended.stderr)
    if ended.returncode or found is None:
        sys.exit(f"the benchmark failed under valgrind:\n{ended.stderr[-4_000:]}")
    return int(found[1].replace(",", ""))


def compare() -> None:
    """Print one line for each piece of work."""
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: it counts the instructions")
    print(f"Python {sys.version.split()[0]}, LiteLLM {version('litellm')}, thousands\n")
    print(f"{'':<42}{'bare':>10}{'noise':>10}{'ours':>10}   ours")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for work, many in TIMES.items():
            runs = {
                side: [pool.submit(counted, side, work, times) for times in many] for side in SIDES
            }
            bare, again, ours = (
                (more.result() - few.result()) / (many[1] - many[0]) / 1_000
                for few, more in runs.values()
            )
            line = "".join(f"{figure:>10,.0f}" for figure in (bare, abs(again - bare), ours - bare))
            print(f"{f'{work}, instructions':<42}{line}   ×{ours / bare:.4f}", flush=True)


async def play(side: str, work: str, times: int) -> None:
    """Do a piece of work so many times on one side."""
    import litellm
    from benchmarks.growth import Provider, Reader, stream
    from benchmarks.sides import Side, running
    from benchmarks.work import call, logged

    litellm.suppress_debug_info = True
    litellm.custom_provider_map = [{"provider": "growth", "custom_handler": Provider()}]
    with running(Side.WATCHED if side == "this package" else Side.BARE):
        if work == "call":
            for _ in range(times):
                await call()
                await logged()
            return
        reader = Reader(await stream(times), times)
        await reader.has_all.wait()
        reader.task.cancel()
        await asyncio.wait([reader.task])


def main() -> None:
    """Compare, or do the work of one process of the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--work", choices=TIMES)
    parser.add_argument("--times", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.side is None:
        compare()
    else:
        asyncio.run(play(chosen.side, chosen.work, chosen.times))


if __name__ == "__main__":
    main()
