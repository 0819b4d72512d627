"""What makes pytest quick enough to be run for each mutant."""

import pytest

LEFT_OUT = {"uvloop", "eager", "anthropic", "bedrock"}
"""Parameters that meet the same lines of the core once more: another loop, another provider."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only repeats a test, and let the quick decisions be looked at first."""
    again = [item for item in items if LEFT_OUT & _parameters(item)]
    config.hook.pytest_deselected(items=again)
    kept = [item for item in items if not LEFT_OUT & _parameters(item)]
    items[:] = sorted(kept, key=lambda item: "provider" in getattr(item, "fixturenames", ()))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the process that each mutant's run is forked from make LiteLLM's first calls, once.

    It collects and runs nothing.
    """
    if session.config.option.collectonly:
        from conftest import warm_up  # only now: it is pytest's to load

        warm_up()


def _parameters(item: pytest.Item) -> set[str]:
    callspec = getattr(item, "callspec", None)
    return set(callspec.id.split("-")) if callspec else set()
