"""Which runs leave the long tests out."""

from typing import Any

import pytest

from support import thorough

Source = pytest.Config.ArgsSource


class Config:
    """As much of pytest's configuration as is asked."""

    def __init__(self, source: Source, keyword: str = "", told: bool | None = None) -> None:
        self.args_source = source
        self._keyword = keyword
        if told is not None:
            self.workerinput = {thorough.WANTED: told}

    def getoption(self, name: str) -> str:
        return {"keyword": self._keyword}[name]


@pytest.mark.parametrize(
    ("config", "everything", "wanted"),
    [
        (Config(Source.TESTPATHS), False, False),
        (Config(Source.TESTPATHS), True, True),
        (Config(Source.ARGS), False, True),
        (Config(Source.TESTPATHS, "orphan"), False, True),
        (Config(Source.ARGS, told=False), False, False),
        (Config(Source.TESTPATHS, told=True), False, True),
    ],
    ids=["nothing is named", "all are required", "a file", "-k", "a worker", "a worker of those"],
)
def test_long_tests_are_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, config: Any, everything: bool, wanted: bool
) -> None:
    monkeypatch.setattr(thorough, "THOROUGH", everything)

    assert thorough.wanted(config) is wanted


def test_one_of_is_the_same_each_time_and_spreads() -> None:
    names = [str(number) for number in range(100)]
    chosen = [thorough.one_of(("a", "b", "c"), name) for name in names]

    assert chosen == [thorough.one_of(("a", "b", "c"), name) for name in names]
    assert {chosen.count(one) > 20 for one in "abc"} == {True}
