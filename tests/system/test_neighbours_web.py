"""Beside FastAPI's instrumentation, the real package, in every order of coming and going."""

import json
import os
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from support import children

TESTS = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.skipif(
        find_spec("openlit") is None, reason="the neighbours are in an environment of their own"
    ),
    pytest.mark.timeout(600),
]


@cache
def came_of() -> list[dict[str, Any]]:
    """Run every order."""
    environ = {one: value for one, value in os.environ.items() if not one.startswith("OTEL_")}
    command = [sys.executable, "-W", "ignore", "-m", "neighbours.web"]
    ended = children.run(command, cwd=TESTS, env=environ, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3_000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("comes", ["before", "after"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("middleware", ["added", "around"])
def test_each_sees_each_request_once_and_the_spans_nest(
    comes: str, first: str, middleware: str
) -> None:
    (came,) = [one["came"] for one in came_of() if one["order"] == [comes, first, middleware]]
    requests = ("completed", "streamed", "client gone", "one has left", "both have left")
    ours = {"completed": [""], "streamed": [""], "client gone": ["external"]}
    theirs = {way: ["UNSET"] for way in ours}
    if first == "ours":
        theirs["one has left"] = ["UNSET"]
    else:
        ours["one has left"] = [""]

    assert came == {
        "status": dict.fromkeys(requests, 200),
        "ours": ours,
        "theirs": theirs,
        "related": ["child"],
        "left": [],
        "left of ours": [],
        "callbacks": [],
    }
