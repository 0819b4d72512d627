"""Beside other instrumentations, the real packages, in every order of coming and going.

They are in an environment of their own: ``tests/elsewhere`` makes it, and runs this there.
"""

import json
import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from neighbours.known import KNOWN, WAYS
from support import children

TESTS = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(
        find_spec("openlit") is None, reason="the neighbours are in an environment of their own"
    ),
    pytest.mark.timeout(600),
]

ORDERS = [
    pytest.param(name, comes, first, id=f"{name}-{comes}-{first}-first")
    for name, neighbour in KNOWN.items()
    for comes in ("before", "after")
    for first in (("theirs", "ours") if neighbour.leaves else ("ours",))
]


@cache
def came_of(name: str) -> dict[tuple[str, str], Any]:
    """Run every order beside a neighbour."""
    environ = {one: value for one, value in os.environ.items() if not one.startswith("OTEL_")}
    command = [sys.executable, "-W", "ignore", "-m", "neighbours", name]
    ended = children.run(command, cwd=TESTS, env=environ, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    said = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    return {(one["comes"], one["first"]): one["came"] for one in said}


def pair(name: str, comes: str, first: str) -> dict[str, Any]:
    """Return what came of one order."""
    came = came_of(name)[comes, first]
    assert isinstance(came, dict), came
    return came


@pytest.mark.parametrize(("name", "comes", "first"), ORDERS)
class TestBeside:
    def test_every_call_ends_as_it_would(self, name: str, comes: str, first: str) -> None:
        said = pair(name, comes, first)["raised"]
        ends = {way: "cancelled" if "cancel" in way else "'answered'" for way in WAYS}
        assert said == ends | {"one has left": "'answered'", "both have left": "'answered'"}

    def test_this_package_sees_each_call_once(self, name: str, comes: str, first: str) -> None:
        seen = pair(name, comes, first)["ours"]
        expected = {way: ["external" if "cancel" in way else ""] for way in WAYS}
        alone = {"one has left": [""]} if first == "theirs" else {}
        assert seen == expected | alone

    def test_the_neighbour_sees_each_call_at_most_once(
        self, name: str, comes: str, first: str
    ) -> None:
        neighbour = KNOWN[name]
        seen = pair(name, comes, first)["theirs"]
        sees = dict(zip(WAYS, neighbour.sees, strict=True))
        assert {way: seen.get(way, []) for way in WAYS} == {
            way: [status] if status else [] for way, status in sees.items()
        }
        if first == "ours":
            assert len(seen["one has left"]) == 1

    def test_the_spans_nest_as_is_said(self, name: str, comes: str, first: str) -> None:
        assert pair(name, comes, first)["related"] == [KNOWN[name].ours]

    def test_nothing_is_left_behind(self, name: str, comes: str, first: str) -> None:
        came, neighbour = pair(name, comes, first), KNOWN[name]
        held = list(neighbour.holds) if comes == "after" else []
        assert came["left of ours"] == held
        if neighbour.leaves:
            assert came["left"] == []
            assert came["callbacks"] == []

    def test_nothing_is_missed_and_nothing_complained_of(
        self, name: str, comes: str, first: str
    ) -> None:
        came = pair(name, comes, first)
        assert came["missing"] == []
        assert came["warned"] == []
