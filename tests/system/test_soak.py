"""A soak is flat, and what is made to leak is found; ``python -m tests.soak`` is the long one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.soak.look import SETTLED, Look
from tests.soak.rule import grown, rate
from tests.soak.run import Played
from tests.soak.table import table, write_document

from support import children
from support.telemetry import OLD

ROOT = Path(__file__).parents[2]
LONG = os.environ.get("REQUIRE_ALL_TESTS") == "1"
SHORT_FORM = ("--calls", "360", "--batch", "60", "--every", "1")
SHORTER_FORM = ("--calls", "180", "--batch", "30", "--every", "1", "--side", "watched")
LONG_FORM = ("--calls", "2400", "--every", "2")
LIMIT = 420

newer = pytest.mark.skipif(OLD, reason="its streams leave chunks and closes for later")


def soak(*options: str, first: str = "") -> children.Ended[str]:
    """Soak in a process of its own; ``first`` is what it does before."""
    code = f"{first}\nimport sys\nfrom tests.soak.__main__ import main\nsys.exit(main())"
    command = [sys.executable, "-c", code, *options]
    return children.run(command, cwd=ROOT, timeout=LIMIT)


@newer
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.long
def test_nothing_grows() -> None:
    ended = soak(*(LONG_FORM if LONG else SHORT_FORM))

    assert ended.returncode == 0, ended.stdout[-8_000:] + ended.stderr[-4_000:]
    assert ended.stdout.splitlines()[-1].startswith("flat: ")


@newer
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("kept.append(call)", "objects of the package's own: "),
        ("kept.extend([0] for _ in range(99))", "all objects: "),
        ("kept.append(b'x' * 99_999)", "KiB of memory: "),
        ("kept.append(open('/dev/null'))", "descriptors: "),
    ],
)
@pytest.mark.long
def test_planted_leak_is_found(planted: str, said: str) -> None:
    first = (
        "from litellm_cancel_otel._demo import quiet\nquiet.before_litellm()\n"
        "from litellm_cancel_otel._tracking.tracker import Tracker\nkept, end = [], Tracker.ended\n"
        f"Tracker.ended = lambda tracker, call, ending: ({planted}, end(tracker, call, ending))[1]"
    )
    ended = soak(*SHORTER_FORM, first=first)

    assert ended.returncode == 1, ended.stdout[-4_000:] + ended.stderr[-4_000:]
    last = ended.stdout.splitlines()[-1]
    assert last.startswith("not flat: ")
    assert said in last


def looks(**figures: Sequence[int]) -> list[Look]:
    """Return a look for each thousand calls."""
    names = Look._fields[1:]
    (count,) = {len(column) for column in figures.values()}
    return [
        Look(1_000 * number, *(figures[name][number] if name in figures else 0 for name in names))
        for number in range(count)
    ]


class TestRule:
    def test_what_is_level_is_flat(self) -> None:
        assert list(grown(looks(objects=[5] * 9, ours=[SETTLED] * 9))) == []

    def test_one_look_that_stands_out_is_none(self) -> None:
        assert list(grown(looks(objects=[5, 5, 5, 5, 9_000, 5, 5, 5, 5]))) == []

    def test_first_third_may_fill(self) -> None:
        assert list(grown(looks(objects=[0, 9_000, 18_000, 18_000, 18_000, 18_000]))) == []

    @pytest.mark.parametrize(("name", "slow", "fast"), [("objects", 20, 300), ("kib", 64, 700)])
    def test_slope(self, name: str, slow: int, fast: int) -> None:
        assert list(grown(looks(**{name: range(0, 12 * slow, slow)}))) == []
        (line,) = grown(looks(**{name: range(0, 12 * fast, fast)}))
        assert f": +{fast} for each 1,000 calls, bare +0: " in line

    def test_as_much_as_bare_is_none(self) -> None:
        steep = looks(objects=range(0, 12_000, 1_000))
        assert list(grown(steep, steep)) == []

    def test_bare_that_shrinks_excuses_and_blames_nothing(self) -> None:
        assert list(grown(looks(kib=[5] * 9), looks(kib=range(9_000, 0, -1_000)))) == []

    def test_objects_of_the_packages_own(self) -> None:
        (line,) = grown(looks(ours=[0, 0, 0, 0, 0, SETTLED + 1]))
        assert (
            line
            == f"objects of the package's own: {SETTLED + 1} are left where nothing runs, "
            + (f"not {SETTLED}")
        )

    @pytest.mark.parametrize("name", ["threads", "descriptors"])
    def test_one_more_for_good(self, name: str) -> None:
        assert list(grown(looks(**{name: [3, 4, 3, 3, 4, 4]}))) == []
        (line,) = grown(looks(**{name: [3, 3, 3, 3, 4, 4]}))
        assert line == f"{name}: 4 at the least in the last third, 3 at the most in the first"

    def test_too_few_looks_are_no_verdict(self) -> None:
        assert "too few" in next(grown(looks(ours=[0] * 5)))

    def test_rate_is_that_of_the_last_two_thirds(self) -> None:
        assert rate(looks(kib=[0, 900, 0, 10, 20, 30]), lambda look: look.kib) == 10


class TestTable:
    PLAYED = Played(looks(objects=[1] * 6), ["one"], {"x": 1}, 60.0)

    def test_row_of_each_side(self) -> None:
        head, _, watched, bare = table({"watched": self.PLAYED, "bare": self.PLAYED}).splitlines()
        assert (
            watched == "| watched | 5,000 | 1.0 | 1 | 0 | 1 → 1 | +0 | 0 → 0 | +0 | 0 → 0 | 0 → 0 |"
        )
        assert bare.startswith("| bare | 5,000 | 1.0 |  |")
        assert head.count("|") == watched.count("|")

    def test_told_by_another_process(self) -> None:
        assert Played.from_json(self.PLAYED.to_json()) == self.PLAYED

    def test_page_without_a_place_is_refused(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("nothing here")
        with pytest.raises(ValueError, match="no place"):
            write_document(page, "table")
