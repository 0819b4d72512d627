"""Starts what runs elsewhere as soon as it is known which tests ask for it, and lets those be last.

A test asks for a place by a parameter ``place``, and for what came of it by ``reports``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support import children

from .places import TESTS
from .reports import Report, read

PLACE = "place"
SECONDS = 3_000.0


class Reports:
    """The processes that run elsewhere, each with a folder for its report."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="elsewhere-")
        self._running: dict[str, children.Running[Any]] = {}

    def start(self, place: str) -> None:
        """Start one place's process."""
        folder = self._folder(place)
        folder.mkdir()
        command = [sys.executable, "-m", __package__ or "", place, str(folder)]
        with (folder / "output").open("wb") as log:
            self._running[place] = children.start(
                command, cwd=TESTS, stdin=children.PIPE, stdout=log, stderr=log
            )

    def of(self, place: str) -> Report:
        """Return what came of a place, as soon as it has come."""
        self._running[place].wait(SECONDS)
        return read(self._folder(place))

    def end(self) -> None:
        """End those that nobody waits for any more."""
        for running in self._running.values():
            running.stdin.close()
        for running in self._running.values():
            with suppress(children.TimeoutExpired):
                running.wait(20)
            children.end(running)
        self._home.cleanup()

    def _folder(self, place: str) -> Path:
        return Path(self._home.name) / place


_KEY = pytest.StashKey[Reports]()


def _asks_for(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    if callspec is None or "reports" not in getattr(item, "fixturenames", ()):
        return None
    place: str = callspec.params[PLACE]
    return place


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that wait for another process be the last."""
    items.sort(key=lambda item: _asks_for(item) is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what is asked for."""
    places = {place for item in session.items if (place := _asks_for(item))}
    if session.config.option.collectonly or not places:
        return
    reports = session.config.stash[_KEY] = Reports()
    session.config.add_cleanup(reports.end)
    for place in sorted(places):
        reports.start(place)


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> Iterator[Reports]:
    """What runs elsewhere."""
    yield pytestconfig.stash[_KEY]
