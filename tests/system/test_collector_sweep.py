"""A garbage collection at each allocation of our work, with dropped streams to free: no hang.

Each sweep is a process of its own, which ends with its stacks where a point hangs.
"""

from pathlib import Path

import pytest

from support import children, warm
from support.telemetry import OLD
from support.thorough import THOROUGH

SCRIPT = Path(__file__).parents[1] / "collector_sweep.py"
LIMIT = 240
STEPS = {} if THOROUGH else {"metrics": 9, "recording": 9}
"""Of how many allocations one is looked at; where none is said, of one: there are few."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(LIMIT + 60),
    pytest.mark.skipif(OLD, reason="the sweep drops streams that the newer LiteLLM makes"),
]


def sweep(operation: str, first: str = "") -> children.Ended[str]:
    """Sweep an operation in a process of its own; ``first`` is what it does before."""
    code = f"""
import sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(SCRIPT.parent)!r})
import collector_sweep
{first}
collector_sweep.main({operation!r}, {STEPS.get(operation, 1)})
"""
    return warm.run(code, timeout=LIMIT)


@pytest.mark.parametrize("operation", ["metrics", "recording", "opening", "ending", "completing"])
def test_collection_at_every_point(operation: str) -> None:
    ended = sweep(operation)

    assert ended.returncode == 0, ended.stdout[-200:] + ended.stderr[-6_000:]
    *_, last = ended.stdout.splitlines()
    assert last.startswith(f"{operation}: ")
    assert int(last.split()[1]) >= 1  # of some there are few: those are all there are


def test_hang_is_found() -> None:
    # What is freed takes a lock that is held where the collection begins.
    first = (
        "import threading\n"
        "collector_sweep.PATIENCE = 2.0\n"
        "lock = threading.Lock()\n"
        "class Held:\n"
        "    def __del__(self):\n"
        "        with lock:\n"
        "            pass\n"
        "async def metrics(self):\n"
        "    self.collector.kept[:] = [Held()]\n"
        "    def collects():\n"
        "        with lock:\n"
        "            return [[] for _ in range(50)]\n"
        "    self.collector(collects)()\n"
        "collector_sweep.Sweep.metrics = metrics\n"
    )
    ended = sweep("metrics", first)

    assert ended.returncode == 1
    assert "__del__" in ended.stderr


def test_ending_that_is_told_twice_is_found() -> None:
    first = (
        "from litellm_cancel_otel._telemetry.recorder import Recorder\n"
        "collector_sweep.SETTLING = 1.0\n"
        "record = Recorder.record\n"
        "Recorder.record = lambda *args: (record(*args), record(*args))[0]\n"
    )
    ended = sweep("completing", first)

    assert ended.returncode != 0
    assert "TimeoutError" in ended.stderr
