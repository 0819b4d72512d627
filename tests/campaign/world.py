"""Where a batch is played: a loop, the fake provider in it, LiteLLM's clients, what is noticed."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from types import CoroutineType
from typing import Any

import litellm
import openai

from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo.dropping import client_for
from litellm_cancel_otel._demo.fakes import Wire, aclose_litellm_clients

from ..support.telemetry import Telemetry
from .books import Entry, Left, Told
from .expect import CANCELLED, FAILED
from .growth import descriptors
from .plan import Plan
from .provider import Desk
from .seat import Seat
from .wills import willed_transport

AT_ONCE = 32
PATIENCE = 30.0
"""Seconds after which a batch's callers are given up: a backstop."""
SETTLING = 10.0
"""Seconds for what ends after its caller has; a backstop, too."""

_LITELLMS_OWN = ("LoggingWorker", "FakeProvider", "_play_while_client_stays", "Batch.play")


class Ears:
    """Hears what Python, the loop and the package's log complain about; use it with ``with``."""

    def __init__(self) -> None:
        self.unraisable: list[str] = []
        self.warnings: list[str] = []
        self.loop_errors: list[str] = []

    def __enter__(self) -> Ears:
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        self._handler = _Handler(self.warnings)
        logging.getLogger("litellm_cancel_otel").addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._hook
        logging.getLogger("litellm_cancel_otel").removeHandler(self._handler)

    def take(self, left: Left) -> None:
        """Hand over what was heard."""
        for name in ("unraisable", "warnings", "loop_errors"):
            heard: list[str] = getattr(self, name)
            getattr(left, name).extend(heard)
            heard.clear()

    def loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Hear a loop's complaint."""
        self.loop_errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _unraisable(self, heard: Any) -> None:
        if _cannot_warn(heard):
            return
        self.unraisable.append(f"{heard.err_msg or 'in'} {heard.object!r}: {heard.exc_value!r}")


def _cannot_warn(heard: Any) -> bool:
    """Return whether Python only failed to warn of a coroutine that was never awaited.

    LiteLLM leaves some behind when it is cancelled, and the warning is not listened to. Where the
    collector frees one while a named tuple is made, whose code has no builtins, Python cannot even
    import what warns.
    """
    no_import = isinstance(heard.exc_value, KeyError) and heard.exc_value.args == ("__import__",)
    return no_import and isinstance(heard.object, CoroutineType)


class _Handler(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


class Batch:
    """Plays some calls in the running loop and makes up their books."""

    def __init__(self, plans: Sequence[Plan], seed: int, transport: str, world: World) -> None:
        self._plans = plans
        self._seed = seed
        self._transport = transport
        self._world = world
        self._clients: dict[Wire, tuple[Any, Callable[[], Awaitable[None]]]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self.got: dict[int, str] = {}
        self.left = Left()

    async def play(self) -> None:
        """Play all calls, and wait until nothing of them is left or no more can be waited for."""
        asyncio.get_running_loop().set_exception_handler(self._world.ears.loop_error)
        async with Desk() as desk:
            tasks = [asyncio.create_task(self._sit(plan, desk)) for plan in self._plans]
            _, late = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=5)
            del tasks, late
            await self._settle(desk)
            for _, close in self._clients.values():
                await close()
            self._clients.clear()
            await aclose_litellm_clients()

    async def _sit(self, plan: Plan, desk: Desk) -> None:
        async with self._places:
            luck = plan.luck(self._seed)
            seat = Seat(plan.index, plan.wire, desk, plan.script, luck, self._client)
            self.got[plan.index] = "nothing"
            # A task of its own: a fate may cancel it, and its context keeps what it leaves there.
            assert plan.fate.play is not None
            playing = asyncio.create_task(plan.fate.play(seat))
            try:
                self.got[plan.index] = await _got(playing, plan)
            finally:
                playing.cancel()  # it has ended, or has been given up

    async def _client(self, wire: Wire, kwargs: dict[str, Any]) -> Any:
        if wire not in self._clients:
            transport = willed_transport(self._transport)
            self._clients[wire] = await client_for(wire, kwargs, transport)
        return self._clients[wire][0]

    async def _settle(self, desk: Desk) -> None:
        begun = time.monotonic()
        collect_at = begun
        while True:
            if time.monotonic() >= collect_at:
                gc.collect()
                collect_at = time.monotonic() + 0.5
            tasks = [task for task in asyncio.all_tasks() if not _is_of_the_house(task)]
            tracker = self._world.telemetry.tracker
            if not (tasks or tracker.streams or desk.open_exchanges):
                break
            if time.monotonic() - begun > self._world.settling:
                break
            del tasks
            await asyncio.sleep(0.002)
        self.left.tasks = [_tell(task) for task in tasks]
        self.left.tracked = len(tracker.streams)
        self.left.exchanges = desk.open_exchanges


class World:
    """What outlives a batch: the telemetry, and who listens."""

    def __init__(self, telemetry: Telemetry, ears: Ears, settling: float = SETTLING) -> None:
        self.telemetry = telemetry
        self.ears = ears
        self.settling = settling
        self._told = self._read()

    def play(
        self, plans: Sequence[Plan], seed: int, transport: str
    ) -> tuple[list[Entry], Told, Left]:
        """Play a batch in a loop of its own and return its books."""
        litellm.disable_aiohttp_transport = transport == "httpx"
        base = descriptors()
        together = [plan for plan in plans if plan.fate.play is not None]
        with asyncio.Runner() as runner:
            batch = runner.run(_batch(together, seed, transport, self))
        got, left = batch.got, batch.left
        for plan in plans:
            if plan.fate.play_alone is not None:
                got[plan.index] = self._play_alone(plan, seed)
        gc.collect()
        left.sockets = descriptors() - base
        self.telemetry.callback.flush()
        left.streams = self.telemetry.open_streams()
        left.faults = dict(self.telemetry.tracker.faults.counts)
        self.telemetry.tracker.faults.counts.clear()
        self.ears.take(left)
        before, self._told = self._told, self._read()
        return self._entries(plans, got), _change(before, self._told), left

    def _play_alone(self, plan: Plan, seed: int) -> str:
        """Play a call to which a loop belongs."""
        assert plan.fate.play_alone is not None
        runner = asyncio.Runner()
        loop = runner.get_loop()
        try:
            loop.set_exception_handler(self.ears.loop_error)
            desk = runner.run(_opened())
            seat = runner.run(_seated(plan, desk, seed))
            return plan.fate.play_alone(seat, runner)
        except Exception as exc:
            return _name(exc)
        finally:
            if not loop.is_closed():
                runner.run(aclose_litellm_clients())
            runner.close()

    def _entries(self, plans: Sequence[Plan], got: dict[int, str]) -> list[Entry]:
        by_call: dict[str, list[Any]] = {}
        for span in self.telemetry.spans:
            attributes = dict(span.attributes or {})
            by_call.setdefault(str(attributes.get(sc.CALL_ID)), []).append(attributes)
        self.telemetry.spans.clear()
        entries = []
        for plan in plans:
            said = by_call.pop(str(plan.index), [])
            entry = Entry(str(plan), plan.wire, got[plan.index], plan.fate.expected, said)
            entries.append(entry)
        return entries + [Entry(f"call {name}", "", "", {}, said) for name, said in by_call.items()]

    def _read(self) -> Told:
        points = self.telemetry.points(sc.CANCELLATIONS)
        kinds: Counter[tuple[str, str, str]] = Counter()
        for said, value in points:
            kinds[said[sc.CANCELLATION_TYPE], said[sc.SOURCE], said[sc.PHASE]] += value
        return Told(self.telemetry.outcomes(), kinds)


async def _batch(plans: Sequence[Plan], seed: int, transport: str, world: World) -> Batch:
    batch = Batch(plans, seed, transport, world)
    await batch.play()
    return batch


def _change(before: Told, after: Told) -> Told:
    outcomes = Counter(after.outcomes)
    outcomes.subtract(before.outcomes)
    cancellations = Counter(after.cancellations)
    cancellations.subtract(before.cancellations)
    return Told(+outcomes, +cancellations)


async def _opened() -> Desk:
    """Return a provider that stays until the loop's runner cancels what is left."""
    opened: asyncio.Future[Desk] = asyncio.get_running_loop().create_future()

    async def stays() -> None:
        async with Desk() as desk:
            desk.keeper = asyncio.current_task()
            opened.set_result(desk)
            await asyncio.Event().wait()

    staying = asyncio.create_task(stays())
    desk = await opened
    assert desk.keeper is staying
    return desk


async def _seated(plan: Plan, desk: Desk, seed: int) -> Seat:
    return Seat(plan.index, plan.wire, desk, plan.script, plan.luck(seed), _no_client)


async def _no_client(wire: Wire, kwargs: dict[str, Any]) -> Any:
    raise LookupError("a call that is played alone has no will")


async def _got(task: asyncio.Task[str], plan: Plan) -> str:
    await asyncio.wait([task])
    if task.cancelled():
        return CANCELLED
    exc = task.exception()
    if exc is None:
        return task.result()
    got = _name(exc)
    if got not in plan.fate.expected:  # the books name it alone: here is where it came from
        print(f"{plan}:", *traceback.format_exception(exc), sep="\n", file=sys.stderr)
    return got


def _name(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, openai.OpenAIError):
        return FAILED
    return type(exc).__qualname__


def _is_of_the_house(task: asyncio.Task[Any]) -> bool:
    name = getattr(task.get_coro(), "__qualname__", "")
    return task is asyncio.current_task() or name.startswith(_LITELLMS_OWN)


def _tell(task: asyncio.Task[Any]) -> str:
    return f"{getattr(task.get_coro(), '__qualname__', task.get_coro())}"


def freeze() -> None:
    """Let what is there by now be no part of later collections and counts."""
    gc.collect()
    gc.freeze()
