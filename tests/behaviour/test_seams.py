"""Seams that do not fit, and what others have put before them: named, and the rest is watched."""

import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import litellm
import pytest

from litellm_cancel_otel import _seams
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.fakes import FakeProvider
from litellm_cancel_otel._seams import attempts, exchange, seams
from litellm_cancel_otel._seams.entry_points import discover, reached
from litellm_cancel_otel._seams.exchange import decorated_cell, is_exchanged
from litellm_cancel_otel._seams.patching import SeamMissing
from litellm_cancel_otel._seams.self_test import arrivals
from support.calling import arguments, chat
from support.hanging import HangingProvider
from support.telemetry import Telemetry

sdk: Any = litellm


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what returns the lines of the one warning."""

    def lines() -> list[str]:
        records = [one for one in caplog.records if one.name == "litellm_cancel_otel"]
        (warning,) = [one for one in records if one.levelno == logging.WARNING]
        return warning.getMessage().splitlines()

    return lines


def test_each_seam_says_what_it_expects_and_what_is_lost_without_it() -> None:
    every = list(seams())

    assert len({seam.name for seam in every}) == len(every) > 40
    assert all(seam.expects and seam.lost for seam in every)


def test_every_function_that_is_found_goes_through_the_package() -> None:
    with Telemetry():
        functions = [function for entry in discover() for function in entry.functions()]
        assert all(map(is_exchanged, functions))

    assert not any(map(is_exchanged, functions))


def test_a_renamed_variable_of_litellms_decorator_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "_CELL", "renamed")

    with Telemetry() as telemetry:
        assert telemetry.callback.missing_seams == ()


async def test_attempts_that_cannot_be_seen_are_named_and_calls_are_seen(
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    warned: Callable[[], list[str]],
) -> None:
    """As where another version of LiteLLM keeps what it decorates in no closure cell."""

    async def other() -> None: ...

    monkeypatch.setattr(exchange, "_CELL", "renamed")
    for function in (
        reached(litellm.acompletion, "acompletion")[-1],
        reached(litellm.arerank, "arerank")[-1],
    ):
        monkeypatch.setattr(function, "__wrapped__", other)

    with Telemetry() as telemetry:
        assert len(telemetry.callback.missing_seams) == 2
        _, line = warned()
        assert "the attempts of litellm.acompletion, the attempts of litellm.arerank: " in line
        assert "without it a retried call counts as one" in line
        await chat(provider, "openai")

        assert telemetry.outcomes() == {"completed": 1}


def test_no_cell_is_guessed() -> None:
    def plain() -> None: ...

    with pytest.raises(SeamMissing):
        decorated_cell(plain)  # type: ignore[arg-type]


async def test_retries_of_the_router_that_have_moved_are_named(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    owner, name = attempts.place()
    monkeypatch.delattr(owner, name)

    with Telemetry():
        _, line = warned()
        assert f"the Router's retries: {owner.__name__}.{name} is not there" in line
        assert "a cancel between two attempts" in line


async def test_a_litellm_without_a_router_is_named(
    monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(attempts, "PLACES", (("litellm.router", "None", ""),))

    with Telemetry():
        _, line = warned()
        assert "the Router's retries: LiteLLM has no Router" in line


class TestCoreThatIsMadeLater:
    """As LiteLLM 1.110 loads and makes the Router's native core with the first Router."""

    @pytest.fixture
    def router(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        class Core:
            async def _run(self) -> str:
                return "answered"

        def make_core() -> Core:
            core = ModuleType("later_core")
            core.Core = Core  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, "later_core", core)
            return Core()

        router = ModuleType("later_router")
        router.make_core = make_core  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "later_router", router)
        monkeypatch.setattr(attempts, "MAKER", ("later_router", "make_core"))
        monkeypatch.setattr(attempts, "PLACES", (("later_core", "Core", "_run"),))
        return router

    async def test_is_watched_from_then_on_and_put_back(self, router: Any) -> None:
        made = router.make_core
        with Telemetry() as telemetry:
            assert telemetry.callback.missing_seams == ()
            core = router.make_core()
            router.make_core()
            own = type(core)._run.__wrapped__

            assert not hasattr(own, "__wrapped__")
            assert await core._run() == "answered"

        assert router.make_core is made
        assert type(core)._run is own

    async def test_is_left_as_it_is_where_none_is_made(self, router: Any) -> None:
        made = router.make_core
        with Telemetry():
            ours = router.make_core

        assert router.make_core is made
        core = ours()  # somebody has kept it
        assert not hasattr(type(core)._run, "__wrapped__")

    async def test_is_made_and_named_where_it_is_another(
        self, router: Any, monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
    ) -> None:
        monkeypatch.setattr(attempts, "PLACES", (("later_core", "Core", "renamed"),))
        with Telemetry():
            core = router.make_core()
            router.make_core()
            (line,) = warned()

            assert await core._run() == "answered"
        assert line == (
            "the Router's retries: Core.renamed is not there; without it a cancel between two "
            "attempts of the Router's is not told"
        )

    async def test_is_watched_at_once_where_it_is_loaded(
        self, router: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "later_core.py").write_text("class Core:\n    async def _run(self): ...\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(sys.modules, "later_core", None)  # so that it is gone behind the test
        del sys.modules["later_core"]
        made = router.make_core
        _seams.load_all()

        with Telemetry():
            assert hasattr(sys.modules["later_core"].Core._run, "__wrapped__")
            assert router.make_core is made


def test_a_place_that_does_not_load_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "native_core.py").write_text("raise ImportError('no such symbol')")
    monkeypatch.syspath_prepend(tmp_path)
    found = attempts.place()
    monkeypatch.setattr(attempts, "PLACES", (("native_core", "Core", "_run"), *attempts.PLACES))

    assert attempts.place() == found


def test_an_object_of_the_hosts_that_cannot_be_looked_at_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Raises:
        def __getattr__(self, name: str) -> None:
            raise ZeroDivisionError(name)

    monkeypatch.setattr(litellm, "anything", Raises(), raising=False)

    with Telemetry() as telemetry:
        assert telemetry.callback.missing_seams == ()


def test_a_litellm_that_cannot_be_looked_through_does_no_harm_and_is_named(
    monkeypatch: pytest.MonkeyPatch, warned: Callable[[], list[str]]
) -> None:
    def fails() -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(_seams, "discover", fails)

    with Telemetry() as telemetry:
        (missing,) = telemetry.callback.missing_seams
        assert missing.startswith("LiteLLM's operations: it failed with ZeroDivisionError")
        assert missing in warned()[1]


Patcher = Callable[[Any], Any]


def with_wraps(function: Any) -> Any:
    @functools.wraps(function)
    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return theirs


def without_wraps(function: Any) -> Any:
    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return theirs


def bound(function: Any) -> Any:
    class Theirs:
        async def call(self, *args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

    return Theirs().call


every_patcher = pytest.mark.parametrize("patcher", [with_wraps, without_wraps, bound])


@every_patcher
async def test_a_call_through_an_earlier_patcher_is_one(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, patcher: Patcher
) -> None:
    early = sdk.acompletion
    monkeypatch.setattr(litellm, "acompletion", patcher(early))

    with Telemetry() as telemetry:
        assert telemetry.callback.missing_seams == ()
        await sdk.acompletion(**arguments(provider, "openai"))
        assert telemetry.outcomes() == {"completed": 1}
        await early(**arguments(provider, "openai"))
        assert telemetry.outcomes() == {"completed": 2}
        ((attributes, _),) = telemetry.points(sc.CALLS)
        assert attributes[sc.OPERATION] == "chat"


async def test_the_self_test_leaves_no_span_and_no_metric() -> None:
    with Telemetry(spans="all") as telemetry:
        found = await arrivals()

        assert {name for name, why in found.items() if why is not None} == set()
        assert len(found) == len(discover())
        await telemetry.settled()
        assert telemetry.spans == []
        assert telemetry.outcomes() == {}


async def test_the_self_test_names_a_call_that_does_not_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def theirs(**_: Any) -> str:
        return "from a cache"

    monkeypatch.setattr(litellm, "arerank", theirs)
    with Telemetry():
        found = await arrivals()

    assert {name: why for name, why in found.items() if why is not None} == {
        "litellm.arerank": "a call of it does not arrive"
    }


@pytest.mark.parametrize(
    ("module", "name"),
    [("litellm", "alist_agents"), ("litellm.interactions", "acreate")],
    ids=["under another name", "under the same name"],
)
@pytest.mark.parametrize("comes", ["before", "after"])
async def test_the_self_test_names_one_whose_function_is_found_elsewhere(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, comes: str
) -> None:
    """LiteLLM hands it on from the module that has it: there it still is, and is watched."""

    async def theirs(**_: Any) -> str:
        return "from a cache"

    home = pytest.importorskip(module)
    if not hasattr(home, name):
        pytest.skip(f"this LiteLLM has no {module}.{name}")
    if comes == "before":
        monkeypatch.setattr(home, name, theirs)
    with Telemetry():
        monkeypatch.setattr(home, name, theirs)
        found = await arrivals()

    assert {name: why for name, why in found.items() if why is not None} == {
        f"{module}.{name}": "a call of it does not arrive"
    }


async def test_the_self_test_names_attempts_that_are_not_seen() -> None:
    with Telemetry():
        cell = decorated_cell(reached(litellm.acompletion, "acompletion")[-1])
        ours, cell.cell_contents = cell.cell_contents, cell.cell_contents.__wrapped__
        try:
            found = await arrivals()
        finally:
            cell.cell_contents = ours

    assert found["litellm.acompletion"] == "the attempts of a call are not seen"


async def test_the_self_test_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with HangingProvider() as hanging:

        async def theirs(**_: Any) -> Any:
            async with httpx.AsyncClient() as client:
                return await client.get(hanging.base_url)

        monkeypatch.setattr(litellm, "arerank", theirs)
        with Telemetry():
            found = await arrivals()

        assert found["litellm.arerank"] is not None
        assert hanging.targets == []
