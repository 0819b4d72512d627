"""Of what runs elsewhere, one runs beside the other tests, and two where nothing else does."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from elsewhere import turns


def test_second_waits_until_a_core_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def core_is_freed(_: float) -> None:
        waited.append("once")
        turns.core_is_free(tmp_path)

    monkeypatch.setattr(turns.time, "sleep", core_is_freed)
    with turns.turn(tmp_path), turns.turn(tmp_path):
        assert waited == ["once"]


def test_third_waits_until_one_of_two_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    turns.core_is_free(tmp_path)
    with ExitStack() as first, turns.turn(tmp_path):
        first.enter_context(turns.turn(tmp_path))

        def first_ends(_: float) -> None:
            waited.append("once")
            first.close()

        monkeypatch.setattr(turns.time, "sleep", first_ends)
        with turns.turn(tmp_path):
            assert waited == ["once"]
