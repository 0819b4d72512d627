"""What makes pytest quick enough to be run for each mutant."""

import pytest

LEFT_OUT = {"uvloop", "eager", "anthropic", "bedrock"}
"""Parameters that meet the same lines of the core once more: another loop, another provider."""

CANNOT_HOLD = {"test_work_of_its_own_is_not_stopped"}
"""The guard knows the middleware's functions by their code, and mutmut gives all of them one."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only repeats a test, and let the quick decisions be looked at first."""
    kept = [item for item in items if _is_worth_it(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _is_worth_it(item)])
    items[:] = sorted(kept, key=lambda item: "provider" in getattr(item, "fixturenames", ()))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the process that each mutant's run is forked from make LiteLLM's first calls, once.

    It collects and runs nothing.
    """
    if session.config.option.collectonly:
        from conftest import warm_up  # only now: it is pytest's to load

        warm_up()


def _is_worth_it(item: pytest.Item) -> bool:
    name = getattr(item, "originalname", item.name)
    return name not in CANNOT_HOLD and not LEFT_OUT & _parameters(item)


def _parameters(item: pytest.Item) -> set[str]:
    callspec = getattr(item, "callspec", None)
    return set(callspec.id.split("-")) if callspec else set()
