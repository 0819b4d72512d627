"""Another package has put its own in LiteLLM's place before the telemetry was created."""

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import litellm
import pytest

from litellm_cancel_otel._demo.fakes import FakeProvider, Script
from litellm_cancel_otel._doctor import examine
from litellm_cancel_otel._seams import whose
from support.calling import Caller, arguments, silent
from support.telemetry import Telemetry, cancel_of, external

sdk: Any = litellm
acompletion: Any = litellm.acompletion  # LiteLLM's own, whatever a test puts in its place
Patched = Callable[..., Any]


def with_wraps(own: Patched) -> Patched:
    @functools.wraps(own)
    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await own(*args, **kwargs)

    return theirs


def in_a_closure(own: Patched) -> Patched:
    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await own(*args, **kwargs)

    return theirs


def in_a_closure_of_a_plain_function(own: Patched) -> Patched:
    return lambda *args, **kwargs: own(*args, **kwargs)


_kept: Any = None


def in_a_global(own: Patched) -> Patched:
    global _kept
    _kept = own

    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await _kept(*args, **kwargs)

    return theirs


def in_a_partial(own: Patched) -> Patched:
    async def theirs(what: Any, *args: Any, **kwargs: Any) -> Any:
        return await what(*args, **kwargs)

    return functools.partial(theirs, own)


class Keeps:
    """Keeps what it replaces, as openinference does, in a dict of its class's."""

    originals: dict[str, Patched] = {}  # noqa: RUF012 - the class's on purpose

    def __init__(self, own: Patched) -> None:
        self.originals["acompletion"] = own

    async def theirs(self, *args: Any, **kwargs: Any) -> Any:
        return await self.originals["acompletion"](*args, **kwargs)


def in_a_bound_methods_class(own: Patched) -> Patched:
    return Keeps(own).theirs


class Attribute:
    """Keeps what it replaces in an attribute."""

    def __init__(self, own: Patched) -> None:
        self.own = own

    async def theirs(self, *args: Any, **kwargs: Any) -> Any:
        return await self.own(*args, **kwargs)


def in_a_bound_methods_object(own: Patched) -> Patched:
    return Attribute(own).theirs


class Proxy:
    """Says that it is what it wraps, as the proxies of wrapt do."""

    def __init__(self, wrapped: Patched) -> None:
        self.__wrapped__ = wrapped
        self._self_wrapper = with_wraps

    @property
    def __class__(self) -> Any:
        return type(self.__wrapped__)

    @property
    def __code__(self) -> Any:
        return acompletion.__code__

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self.__wrapped__(*args, **kwargs)


def twice(own: Patched) -> Patched:
    return Keeps(with_wraps(in_a_closure(own))).theirs


WAYS = (
    *(with_wraps, in_a_closure, in_a_closure_of_a_plain_function, in_a_global, in_a_partial),
    *(in_a_bound_methods_class, in_a_bound_methods_object, Proxy, twice),
)


def opaque(own: Patched) -> Patched:
    """Return what keeps LiteLLM's own where nobody finds it."""
    kept = [own]

    async def theirs(*args: Any, **kwargs: Any) -> Any:
        return await kept[0](*args, **kwargs)

    return theirs


def every(way: Callable[[Patched], Patched], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put something in the place of ``litellm.acompletion``, at both of its names."""
    theirs = way(acompletion)
    for module in (litellm, litellm.main):
        monkeypatch.setattr(module, "acompletion", theirs)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "litellm_cancel_otel"]


@pytest.mark.parametrize("way", WAYS)
async def test_call_is_seen_once_and_nothing_is_said(
    provider: FakeProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: Callable[[Patched], Patched],
) -> None:
    code = acompletion.__code__
    every(way, monkeypatch)
    with Telemetry() as telemetry:
        await sdk.acompletion(**arguments(provider, "openai"))
        await provider.next_exchange()
        provider.script = Script(hang_at="before_headers")
        caller = Caller(sdk.acompletion(**arguments(provider, "openai")))
        await silent(provider)
        caller.task.cancel()

        assert isinstance(await caller.ended(), asyncio.CancelledError)
        assert telemetry.outcomes() == {"completed": 1, "cancelled": 1}
        assert cancel_of((await telemetry.span()).attributes) == external()
    assert acompletion.__code__ is code
    assert warnings(caplog) == []


async def test_what_hides_litellms_own_is_named_and_the_call_is_seen_all_the_same(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = acompletion.__code__
    monkeypatch.setattr(litellm, "acompletion", opaque(acompletion))
    with Telemetry() as telemetry:
        await sdk.acompletion(**arguments(provider, "openai"))

        assert telemetry.outcomes() == {"completed": 1}
        assert telemetry.callback.missing_seams == (
            f"litellm.acompletion is replaced by {__name__}",
        )
    assert acompletion.__code__ is code
    (warning,) = warnings(caplog)
    assert f"litellm.acompletion is replaced by {__name__}" in warning
    assert "not quite as this package knows it" not in warning


def test_what_does_not_lead_to_litellms_own_at_all_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def theirs() -> None: ...

    every(lambda _: theirs, monkeypatch)
    caplog.set_level(logging.WARNING)
    with Telemetry() as telemetry:
        (missing,) = telemetry.callback.missing_seams
    assert missing == f"litellm.acompletion is replaced by {__name__}"


def test_the_doctor_names_the_patcher_and_does_not_blame_litellms_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(litellm, "acompletion", opaque(acompletion))
    (problem,) = [one for one in examine().problems if "litellm.acompletion" in one]
    assert f"replaced by {__name__}" in problem
    assert "newer" not in problem


def test_litellms_own_has_no_patcher() -> None:
    assert whose.look(acompletion, "acompletion") == (acompletion, None, True)
