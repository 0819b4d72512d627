"""Starts what runs elsewhere as soon as it is known which tests ask for it, and lets those be last.

A test asks for a place by a parameter ``place``, and for what came of it by ``reports``. It takes
minutes, and so is skipped unless ``-m elsewhere`` or ``REQUIRE_ALL_TESTS=1`` asks for it. Where the
tests are shared out to several processes, the first of these starts it, and all wait for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support import children

from .places import TESTS
from .reports import FILE, Report, read
from .turns import core_is_free

PLACE, MARK = "place", "elsewhere"
ENDED = "ended"
"""The file that says that no report will come any more."""

SECONDS = 3_000.0


class Reports:
    """The processes that run elsewhere, each with a folder for its report."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running: dict[str, children.Running[Any]] = {}

    def start(self, place: str) -> None:
        """Start one place's process."""
        folder = self._folder(place)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", __package__ or "", place, str(folder)]
        with (folder / "output").open("wb") as log:
            self._running[place] = children.start(
                command, cwd=TESTS, stdin=children.PIPE, stdout=log, stderr=log
            )

    def of(self, place: str) -> Report:
        """Return what came of a place, as soon as it has come; the tests that ask are the last."""
        core_is_free(self._home)
        if place in self._running:
            self._running[place].wait(SECONDS)
        else:
            self._wait_for(place)
        return read(self._folder(place))

    def end(self, *, others_wait: bool) -> None:
        """End those that nobody waits for any more."""
        for place, running in self._running.items():
            if others_wait:
                running.wait(SECONDS)
            (self._folder(place) / ENDED).touch()
            running.stdin.close()
        for running in self._running.values():
            with suppress(children.TimeoutExpired):
                running.wait(20)
            children.end(running)

    def _wait_for(self, place: str) -> None:
        """Wait for a process that another one of pytest's has started."""
        until = time.monotonic() + SECONDS
        while not any((self._folder(place) / one).exists() for one in (FILE, ENDED)):
            if time.monotonic() > until:
                raise TimeoutError(f"nothing came of {place}")
            time.sleep(0.1)

    def _folder(self, place: str) -> Path:
        return self._home / place


_KEY = pytest.StashKey[Reports]()


def _asks_for(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    if callspec is None or "reports" not in getattr(item, "fixturenames", ()):
        return None
    place: str = callspec.params[PLACE]
    return place


def wanted(config: pytest.Config) -> bool:
    """Return whether what runs elsewhere is asked for."""
    return os.environ.get("REQUIRE_ALL_TESTS") == "1" or MARK in config.option.markexpr


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the tests that wait for another process be the last, where they are run at all."""
    items.sort(key=lambda item: _asks_for(item) is not None)
    if not wanted(config):
        for item in items:
            if item.get_closest_marker(MARK):
                item.add_marker(pytest.mark.skip(reason=f"-m {MARK} runs it, and .ci/run"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what is asked for."""
    config = session.config
    places = {place for item in session.items if (place := _asks_for(item))}
    if config.option.collectonly or not places or not wanted(config):
        return
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    home = (base if worker is None else base.parent) / "elsewhere"
    reports = config.stash[_KEY] = Reports(home)
    if worker not in (None, "gw0"):
        return
    config.add_cleanup(lambda: reports.end(others_wait=worker is not None and _is_whole(session)))
    for place in sorted(places, reverse=True):  # the Pythons first: they take longest
        reports.start(place)


def _is_whole(session: pytest.Session) -> bool:
    """Return whether the session was not broken off."""
    return not (session.shouldstop or session.shouldfail)


@pytest.fixture(scope="session")
def reports(pytestconfig: pytest.Config) -> Iterator[Reports]:
    """What runs elsewhere."""
    yield pytestconfig.stash[_KEY]
