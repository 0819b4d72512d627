"""A soak is flat, and what is made to leak is found; ``python -m tests.soak`` is the long one."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from campaign.growth import Held
from soak.table import swollen, thirds
from support import children
from support.telemetry import OLD

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("REQUIRE_ALL_TESTS") == "1"
SHORT_FORM = ("--calls", "450", "--batch", "50")
"""Nine looks: the least by which a first third and a last one can be told apart."""
LONG_FORM = ("--minutes", "3")
LIMIT = 540

newer = pytest.mark.skipif(OLD, reason="its streams leave chunks and closes for later")


def soak(*options: str, first: str = "") -> children.Ended[str]:
    """Soak in a process of its own; ``first`` is what it does before."""
    code = f"{first}\nimport sys\nfrom tests.soak.__main__ import main\nsys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return children.run(
        [sys.executable, "-c", code, *options], cwd=ROOT, timeout=LIMIT, env=environment
    )


@newer
@pytest.mark.timeout(LIMIT + 60)
def test_nothing_grows() -> None:
    ended = soak(*(LONG_FORM if LONG else SHORT_FORM))

    assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr[-4_000:]
    assert "0 imbalances" in ended.stdout


@newer
@pytest.mark.timeout(LIMIT + 60)
def test_planted_leak_is_found() -> None:
    first = (
        "from litellm_cancel_otel._demo import quiet\nquiet.before_litellm()\n"
        "from litellm_cancel_otel._calls.call import Call\nkept, end = [], Call.end\n"
        "Call.end = lambda call, *more, **named: (kept.append(call), end(call, *more, **named))[1]"
    )
    ended = soak(*SHORT_FORM, first=first)

    assert ended.returncode == 1, ended.stderr[-4_000:]
    assert "growth: objects of Call: " in ended.stdout


def looks(*mib: int, objects: int = 0) -> list[Held]:
    return [Held(Counter(), one * objects, 0, 0, one * 1024) for one in mib]


class TestSwollen:
    def test_a_little_more_is_no_growth(self) -> None:
        assert list(swollen(thirds(looks(100, 100, 100, 100, 100, 100, 105, 105, 105)))) == []

    def test_up_and_down_is_none(self) -> None:
        assert list(swollen(thirds(looks(100, 200, 100, 100, 100, 100, 200, 100, 200)))) == []

    def test_memory(self) -> None:
        (line,) = swollen(thirds(looks(100, 100, 100, 100, 100, 100, 106, 106, 106)))
        assert line == "growth: memory, MiB: from 100 at the most to 106 at the least"

    def test_objects_of_anybody(self) -> None:
        said = list(swollen(thirds(looks(*(1, 1, 1), *(1, 1, 1), *(2, 2, 2), objects=1000))))
        assert "growth: all objects: from 1,000 at the most to 2,000 at the least" in said
