"""Forks: one hook for the process; each object that lives begins anew in the child."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from litellm_cancel_otel._contract import forks
from litellm_cancel_otel._contract.forks import follow_forks
from litellm_cancel_otel._telemetry.keeper import Keeper, all_set
from support.forking import in_child
from support.telemetry import Telemetry

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


class Begins:
    """Notes when it begins anew."""

    def __init__(self, begun: list[str], name: str) -> None:
        self._begun = begun
        self._name = name

    def forked(self) -> None:
        self._begun.append(self._name)


class Fails:
    """Cannot begin anew."""

    def forked(self) -> None:
        raise ValueError


def test_each_begins_anew_in_the_order_in_which_they_came() -> None:
    begun: list[str] = []
    names = list("abcdefgh")
    kept = [Begins(begun, name) for name in names]
    for one in kept:
        follow_forks(one)

    assert in_child(lambda: begun) == names
    assert begun == []


def test_one_that_fails_keeps_no_other_from_it() -> None:
    begun: list[str] = []
    first, second = Fails(), Begins(begun, "second")
    follow_forks(first)
    follow_forks(second)

    def child() -> list[object]:
        return [begun, forks._faults.counts["fork"]]

    assert in_child(child) == [["second"], 1]


def test_one_that_is_gone_is_not_kept() -> None:
    begun: list[str] = []
    follow_forks(Begins(begun, "gone"))
    gc.collect()

    assert in_child(lambda: begun) == []


def test_there_is_one_hook_however_many_telemetries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hooks: list[str] = []

    def register(*, after_in_child: Callable[[], object]) -> None:
        hooks.append(after_in_child.__module__)  # OpenTelemetry's SDK has some of its own

    monkeypatch.setattr(os, "register_at_fork", register)
    monkeypatch.setattr(forks, "_hooked", False)
    gc.collect()
    before, threads = len(forks._alive), set(threading.enumerate())

    for _ in range(3):
        with Telemetry(top_socket=str(tmp_path / "top")) as telemetry:
            followed = len(forks._alive)
            keeper = Keeper(telemetry.meter_provider)
            assert len(forks._alive) == followed + 1
            all_set([keeper.shutdown()], 10_000)
        del telemetry, keeper
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)  # it holds what it works for

    gc.collect()
    assert [one for one in hooks if one.startswith("litellm_cancel_otel")] == [forks.__name__]
    assert len(forks._alive) <= before


def test_without_forks_there_is_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    monkeypatch.setattr(forks, "_hooked", False)

    with Telemetry():
        assert not forks._hooked
