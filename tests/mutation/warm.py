"""LiteLLM's first calls, made once, by the process that each mutant's run is forked from."""

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the calls where nothing but a collection was asked for, as before the first fork."""
    if session.config.option.collectonly:
        from conftest import warm_up  # only now: it is pytest's to load

        warm_up()
