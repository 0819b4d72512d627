"""The matrix of LiteLLM's releases: what is run, what is kept of it, and how it is told."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from elsewhere.environments import NotMadeError
from elsewhere.interpreters import find
from elsewhere.places import PYTHONS, ROOT, THIS
from versions import words
from versions.behaviour import Seen, seen, unwound, with_package
from versions.cells import CLIENTS, TRANSPORTS, Cell, Job, client_cells, every_cell, jobs
from versions.environments import NEEDS, Maker, attempts, lowest_command
from versions.groups import groups
from versions.page import BEGIN, END, tables, write
from versions.releases import LOWEST, Release, UnknownReleaseError, chosen, releases
from versions.results import Cache, Checked, Result
from versions.running import read_junit, told

OLD, NEW = Release("1.0.0", "old"), Release("2.0.0", "new")
PAGE = ROOT / "docs" / "compatibility.md"


def side(got: str = "CancelledError", **more: Any) -> dict[str, Any]:
    """Return what one side of a row of the demo's shows."""
    said = {"got": got, "status": None, "callbacks": [], "attributes": {}}
    return {**said, "provider_saw_close_after": 0.001, "provider_open_after": None, **more}


def row(
    way: str = "cancel-waiting", provider: str = "openai", with_: Any = None, **without: Any
) -> dict[str, Any]:
    """Return a row of the demo's."""
    sides = {"without": side(**without), "with": with_ or side()}
    return {"way": way, "provider": provider, "problems": [], **sides}


def result(*rows: dict[str, Any], **more: Any) -> Result:
    """Return the result of a cell that ran."""
    return Result(versions={"litellm": "1.0.0"}, rows=rows, tests=Checked(passed=3), **more)


def client(finally_after: float | None) -> dict[str, Any]:
    """Return one of the demo's clients that leave."""
    both = {"without": {"finally_after": finally_after}, "with": {"finally_after": 0.01}}
    return {"way": "client-silent", "problems": [], **both}


class TestReleases:
    def test_are_sixteen_or_more_in_order_and_each_says_why(self) -> None:
        pinned = [one for one in releases() if not one.is_lowest]
        numbers = [tuple(map(int, one.version.split("."))) for one in pinned]

        assert len(pinned) >= 16
        assert numbers == sorted(numbers)
        assert all(one.why for one in pinned)

    def test_begin_with_the_declared_minimum_and_have_the_one_of_the_tests(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        dev = (ROOT / "requirements" / "dev.txt").read_text()
        mine = [one.version for one in releases()]

        assert f"litellm>={mine[0]}" in project["dependencies"]
        assert {re.search(r"^litellm==(\S+)", dev, re.M)[1]} <= {*mine}  # type: ignore[index]

    def test_are_chosen_in_their_own_order(self) -> None:
        some = ["1.110.2", "1.72.2", LOWEST]

        assert [one.version for one in chosen(some)] == ["1.72.2", "1.110.2", LOWEST]
        assert chosen([]) == releases()

    def test_that_are_not_pinned_are_refused(self) -> None:
        with pytest.raises(UnknownReleaseError, match=r"0\.0\.1 is not one of 1\.72\.2"):
            chosen(["0.0.1"])

    def test_what_runs_the_tests_has_the_versions_of_this_environment(self) -> None:
        pins = re.findall(r"^\S+==\S+$", NEEDS.read_text(), re.M)
        dev = (ROOT / "requirements" / "dev.txt").read_text()

        assert pins
        assert [one for one in pins if f"\n{one} " not in dev and f"\n{one} ;" not in dev] == []


class TestCells:
    def test_are_each_release_on_each_python_over_each_transport(self) -> None:
        cells = every_cell([OLD, NEW], ["3.11", "3.12"])

        assert len({*cells}) == 2 * 2 * len(TRANSPORTS)
        assert cells[0] == Cell("2.0.0", "3.11", "aiohttp")
        assert [cell.python for cell in cells] == ["3.11"] * 4 + ["3.12"] * 4

    def test_of_one_environment_are_one_job(self) -> None:
        found = list(jobs(every_cell([OLD, NEW], ["3.11"]), [OLD, NEW]))

        assert [job.name for job in found] == ["2.0.0-3.11", "1.0.0-3.11"]
        assert [len(job.cells) for job in found] == [2, 2]

    def test_name_tests_that_are_there(self) -> None:
        assert all(run.files() for run in TRANSPORTS.values())


class TestCache:
    def test_has_what_was_written(self, tmp_path: Path) -> None:
        cell = Cell("1.0.0", "3.11", "aiohttp")
        failed = Checked(1, 2, ("a", "b"))
        whole = Result(None, {"litellm": "1"}, ("x==1",), failed, (row(),), (client(1.0),))

        Cache(tmp_path / "new").write(cell, whole)

        assert Cache(tmp_path / "new").read(cell) == whole
        assert not list(tmp_path.rglob("*.part"))

    def test_leaves_out_what_was_not_run(self, tmp_path: Path) -> None:
        cells = every_cell([OLD, NEW], ["3.11"])
        cache = Cache(tmp_path)
        cache.write(cells[2], result())

        assert cache.read(cells[0]) is None
        assert [*cache.those_of(cells)] == [cells[2]]


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.behaviour.test_calls" name="good"/>
<testcase classname="tests.behaviour.test_calls" name="left"><skipped/></testcase>
<testcase classname="tests.behaviour.test_guard.TestOrphan" name="bad[x]"><failure/></testcase>
<testcase classname="tests.behaviour.test_calls" name="broken"><error/></testcase>
</testsuite></testsuites>"""


class TestResult:
    def test_of_the_tests_is_read_from_pytests_own_report(self, tmp_path: Path) -> None:
        file = tmp_path / "junit.xml"
        file.write_text(JUNIT)

        assert read_junit(file) == Checked(1, 1, ("guard.TestOrphan::bad[x]", "calls::broken"))

    def test_is_told_in_a_line(self) -> None:
        wrong = {**row(), "problems": ["no span"]}

        assert told(result(row(), wrong)) == "3 passed, 0 failed, 2 ways; cancel-waiting at openai"
        assert told(Result(cannot="much\nno such package\n")) == "no such package"

    def test_is_good_where_nothing_is_wrong(self) -> None:
        assert result(row()).is_good
        assert not Result(cannot="no environment").is_good
        assert not Result(tests=Checked(1, 0, ("a",))).is_good
        assert not result({**row(), "problems": ["no span"]}).is_good
        assert not result(clients=({**client(0.1), "problems": ["late"]},)).is_good


class TestWords:
    def test_name_what_the_caller_must_not_get(self) -> None:
        wrong = row("wait-for", "azure", got="InternalServerError", status=500)
        of = seen([result(row(), row("wait-for", got="TimeoutError"), wrong)], "without")

        assert words.gets(of) == "`error 500`: `wait-for` at azure"

    def test_say_nothing_of_calls_that_are_not_cancelled(self) -> None:
        assert seen([result(row("completed", callbacks=["success"]))], "without") == {}

    def test_put_together_ways_and_leave_out_providers_where_it_is_all(self) -> None:
        late = {"provider_saw_close_after": None, "provider_open_after": 2.5}
        rows = [row(way, at, **late) for way in ("break", "gc") for at in ("azure", "openai")]

        assert words.closes(seen([result(*rows)], "without")) == "stays open: `break`, `gc`"

    def test_say_where_cells_differ(self) -> None:
        cells = [result(row(callbacks=["failure"])), result(row())]

        assert (
            words.callbacks(seen(cells, "without")) == "failure (in some cells): `cancel-waiting`"
        )

    def test_say_that_all_is_well(self) -> None:
        of = seen([result(row())], "without")

        assert (words.gets(of), words.callbacks(of), words.closes(of)) == (
            "as it must be",
            "none",
            "closes",
        )

    def test_of_the_finally(self) -> None:
        assert words.unwinds({}) == "not run"
        assert words.unwinds(unwound([result(clients=(client(0.1),))], "without")) == "at once"
        late = unwound([result(clients=(client(None), client(1.0)))], "without")
        assert words.unwinds(late) == "late or not within 2 s"

    def test_a_connection_that_was_closed_too_late_has_stayed_open(self) -> None:
        of = seen([result(row(provider_saw_close_after=2.2))], "without")

        assert of == {
            ("cancel-waiting", "openai"): {Seen("CancelledError", True, "none", "stays open")}
        }


class TestGroups:
    def test_are_releases_that_follow_each_other_and_are_the_same(self) -> None:
        names = ["1", "2", "3", "4"]
        results = {Cell(name, "3.11", "aiohttp"): result(row()) for name in names}
        results[Cell("3", "3.11", "aiohttp")] = result(row(callbacks=["failure"]))

        found = groups(names, results)

        assert [group.title for group in found] == ["1 to 2", "3", "4"]

    def test_take_the_finally_from_whichever_has_it(self) -> None:
        results = {
            Cell("1", "3.11", "aiohttp"): result(row()),
            Cell("2", "3.11", "aiohttp"): result(row()),
            Cell("2", "3.11", CLIENTS): result(clients=(client(None),)),
            Cell("3", "3.11", "aiohttp"): result(row()),
            Cell("3", "3.11", CLIENTS): result(clients=(client(0.01),)),
        }
        found = groups(["0", "1", "2", "3"], results)

        assert [group.title for group in found] == ["1 to 2", "3"]
        assert found[0].unwound == {"client-silent": {"not within 2 s"}}


class TestPage:
    def lines(self, results: dict[Cell, Result]) -> list[str]:
        """Return the tables' lines."""
        return list(tables([OLD, NEW], ["3.11"], results))

    def test_says_which_cells_were_run_and_how_they_were(self) -> None:
        wrong = {**row(), "problems": ["no span"]}
        failed = Result(tests=Checked(2, 0, ("a::b",)), rows=(row(), wrong), overrides=("x==1",))
        cells = every_cell([OLD, NEW], ["3.11"])
        found = self.lines({cells[0]: failed, cells[2]: Result(cannot="tried\nno wheel")})

        assert "2 of 4 cells were run, and clients left on 0 of" in found
        assert "| 2.0.0, with x==1 | new | 2/3, 1/2 | not run |" in found
        assert "| 1.0.0 | old | did not run | not run |" in found
        assert "- litellm 1.0.0, Python 3.11, aiohttp: no wheel" in found
        assert (
            "- litellm 2.0.0, Python 3.11, aiohttp: the test `a::b`; cancel-waiting at openai"
            in found
        )

    def test_says_nothing_is_wrong_where_nothing_is(self) -> None:
        assert self.lines({every_cell([OLD], ["3.11"])[0]: result(row())})[-2] == "Nothing."

    def test_tells_of_the_slowest(self) -> None:
        said = {
            "cancellation_type": "external",
            "litellm_cancel.source": "task_cancel",
            "litellm_cancel.disconnect_to_finally": 0.002,
        }
        slower = {**said, "litellm_cancel.disconnect_to_finally": 0.004}
        rows = [row(with_=side(attributes=one)) for one in (said, slower)]
        [found] = with_package([result(*rows)])

        assert (found.told, found.unwound, found.closed) == (
            ("`external`, `task_cancel`",),
            0.004,
            None,
        )

    def test_keeps_what_stands_around_the_tables(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

        write(page, [OLD], ["3.11"], {})

        text = page.read_text()
        assert text.startswith(f"before\n{BEGIN}\n")
        assert text.endswith(f"{END}\nafter\n")
        assert "old\n" not in text

    def test_of_the_documentation_has_every_release_that_is_pinned(self) -> None:
        rows = re.findall(r"^\| ([\d.]+)[,| ]", PAGE.read_text().partition("## The cells")[2], re.M)

        assert rows == [one.version for one in releases() if not one.is_lowest]


class TestEnvironment:
    @pytest.fixture
    def uv(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A uv that writes down what it is asked; it installs only what has an override."""
        program, asked = tmp_path / "bin" / "uv", tmp_path / "asked"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {asked}\n'
            'case "$*" in *litellm==*--overrides*) ;; *litellm==*) echo no; exit 1;; esac\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.setenv(f"PYTHON_{THIS.replace('.', '')}", find(THIS))
        return asked

    async def test_needs_an_override_only_where_it_does_not_resolve(
        self, uv: Path, tmp_path: Path
    ) -> None:
        release = Release("1.0.0", "why", ("openai<3",))
        folder = tmp_path / "environments"

        python, overrides = await Maker(folder).make(Job(release, THIS, ()))

        assert (python, overrides) == (folder / f"1.0.0-{THIS}" / "bin" / "python", ("openai<3",))
        assert uv.read_text().count("litellm==1.0.0") == 2
        assert (folder / f"1.0.0-{THIS}-overrides.txt").read_text() == "openai<3"

    async def test_that_cannot_be_made_says_why(self, uv: Path, tmp_path: Path) -> None:
        with pytest.raises(NotMadeError, match=r"litellm==1\.0\.0\nno\n"):
            await Maker(tmp_path / "environments").make(Job(OLD, THIS, ()))

    async def test_is_made_with_pip_where_there_is_no_uv(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program, asked = tmp_path / "python", tmp_path / "asked"
        program.write_text(
            f'#!/bin/sh\ncase "$*" in -I*) echo 3.99; exit;; esac\necho "$@" >> {asked}\n'
            'case "$*" in *venv*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python";; esac\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
        monkeypatch.setenv("PYTHON_399", str(program))

        python, _ = await Maker(tmp_path / "environments").make(Job(OLD, "3.99", ()))

        venv, release, ours = asked.read_text().splitlines()
        assert python.exists()
        assert venv.startswith("-m venv --clear ")
        assert release.startswith("-m pip install ")
        assert release.endswith(" litellm==1.0.0")
        assert ours.endswith(f" --no-deps -e {ROOT}")

    def test_is_tried_as_it_stands_first(self) -> None:
        assert attempts(OLD) == [()]
        assert attempts(Release("1", "why", ("a==1",))) == [(), ("a==1",)]

    def test_of_the_minimums_takes_uv(self, tmp_path: Path) -> None:
        with pytest.raises(NotMadeError, match="it takes uv"):
            lowest_command(None, "python", tmp_path)
        command = lowest_command("uv", "python", tmp_path)
        assert command[command.index("--resolution") + 1] == "lowest-direct"


def test_clients_leave_once_for_a_release() -> None:
    assert client_cells([OLD, NEW]) == [
        Cell("2.0.0", PYTHONS[0], CLIENTS),
        Cell("1.0.0", PYTHONS[0], CLIENTS),
    ]
