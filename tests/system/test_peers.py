"""The comparison with the peers: its processes run, its words are right, its tables are whole."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import Status, StatusCode

from support.telemetry import OLD

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.__main__ import pinned  # noqa: E402 - found from here on
from benchmarks.peers.environments import REQUIREMENTS  # noqa: E402 - the same
from benchmarks.peers.heard import word_of  # noqa: E402 - the same
from benchmarks.peers.running import child_command, child_environment, found_in  # noqa: E402 - the same
from benchmarks.peers.sides import ENDINGS, SIDES, Side  # noqa: E402 - the same
from benchmarks.peers.tables import Row, costs, told, write_document  # noqa: E402 - the same

from support import children  # noqa: E402 - beside the others

newer = pytest.mark.skipif(OLD, reason="its streams cannot be closed")

OURS = {
    "completed": "counted: completed",
    "cancel-waiting": "cancelled: external, task_cancel",
    "client-leaves": "cancelled: external, client_disconnect",
    "internal-stream": "cancelled: azure_internal, provider",
}


@newer
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("ours", OURS),
        ("callback", {"completed": "success", "cancel-waiting": "nothing"}),
    ],
)
@pytest.mark.long
def test_what_a_side_tells(side: str, expected: dict[str, str]) -> None:
    command = child_command(Path(sys.executable), side, "endings", *expected)
    ended = children.run(command, cwd=ROOT, env=child_environment(), timeout=200)

    assert found_in(ended.stdout) == expected, ended.stderr


def span(code: StatusCode, description: str = "", **attributes: str) -> Any:
    return SimpleNamespace(attributes=attributes, status=Status(code, description), events=[])


class TestWords:
    def test_no_error_is_success(self) -> None:
        assert word_of(span(StatusCode.UNSET)) == "success"

    def test_error_is_named_by_its_description(self) -> None:
        assert word_of(span(StatusCode.ERROR, "asyncio.CancelledError: x")) == (
            "error: CancelledError"
        )

    def test_event_of_the_exception_names_it(self) -> None:
        failed = span(StatusCode.ERROR, "told otherwise")
        failed.events = [SimpleNamespace(attributes={"exception.type": "a.b.Raised"})]
        assert word_of(failed) == "error: Raised"

    def test_cancel_says_why(self) -> None:
        cancelled = span(StatusCode.UNSET, cancellation_type="external")
        cancelled.attributes["litellm_cancel.source"] = "deadline"
        assert word_of(cancelled) == "cancelled: external, deadline"


def figures(call: float, **more: float) -> dict[str, float]:
    zeros = dict.fromkeys(("spans", "current", "tasks", "connections", "objects"), 0.0)
    return {"call": call, "chunk": 10.0, "stream": 100.0} | zeros | more


class TestTables:
    def test_costs_are_medians_over_bare(self) -> None:
        side = Side("it", "It", "base", "")
        bare, measured = [figures(100), figures(102)], [figures(111, spans=20), figures(111)]
        lines = costs([Row(side, "1.2", bare, measured)], 20).splitlines()

        assert lines[2].startswith("| bare LiteLLM | | 101 | 10 | 100 |")
        assert lines[3] == "| It | 1.2 | +10 | +0 | +0 | 10 | 0 | 0 | 0 | 0 |"

    def test_every_ending_has_a_line(self) -> None:
        side = Side("it", "It", "base", "")
        lines = told([side], {"it": dict.fromkeys(ENDINGS, "nothing")}).splitlines()

        assert len(ENDINGS) == 13
        assert len(lines) == 2 + 13
        assert all(line.endswith("| nothing |") for line in lines[2:])

    def test_page_without_a_place_is_refused(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("nothing here")
        with pytest.raises(ValueError, match="no place"):
            write_document(page, "table")


def test_every_environment_is_pinned_with_its_peer() -> None:
    for side in SIDES:
        assert (REQUIREMENTS / f"{side.environment}.in").is_file()
        if side.package != "litellm-cancel-otel":
            assert pinned(side.environment, side.package)
        assert pinned(side.environment, "litellm") == pinned("base", "litellm")
