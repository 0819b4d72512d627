"""Plays one side of a soak: batch after batch, until the time is over or the calls are made."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

from litellm_cancel_otel._demo.fakes import PROVIDERS, Wire

from ..campaign.world import freeze
from .fates import plans
from .late import told_if_late
from .look import Look, kinds, look
from .side import Side, Soaked, world

TRANSPORTS = ("aiohttp", "httpx")
_WIRES: tuple[Wire, ...] = tuple(
    wire for wire in PROVIDERS if wire != "bedrock" or find_spec("botocore")
)
_WARMING = ("stream", "body", "cancel-waiting", "break")
_TELLS = 15
"""Classes of which a run says how many more there are, those that have most."""
AT_MOST = 20
"""Imbalances after which a run ends."""


class Plan(NamedTuple):
    """How a side is to be played."""

    side: Side
    seconds: float | None
    """Until when new batches begin; None: until all calls are made."""
    calls: int | None
    batch: int
    every: int
    """Batches from one look to the next."""
    seed: int
    transports: tuple[str, ...]


class Played(NamedTuple):
    """What came of a side."""

    looks: list[Look]
    imbalances: list[str]
    more: dict[str, int]
    """Objects more than after some third of the looks, by class."""
    seconds: float

    def to_json(self) -> str:
        """Return it as a line for another process."""
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> Played:
        """Return what another process has told."""
        told = json.loads(text)
        return cls(**{**told, "looks": [Look(*one) for one in told["looks"]]})


def play(plan: Plan) -> Played:
    """Play a side; print each look and each imbalance."""
    looks: list[Look] = []
    imbalances: list[str] = []
    known: dict[int, Counter[str]] = {}
    with world(plan.side) as soaked:
        _warm(soaked, plan)
        began = time.monotonic()
        calls = number = 0
        while not _is_over(plan, calls, time.monotonic() - began):
            transport = plan.transports[number % len(plan.transports)]
            stop = calls + plan.batch if plan.calls is None else min(calls + plan.batch, plan.calls)
            batch = list(plans(plan.seed, range(calls, stop), _WIRES, soaked.fates))
            with told_if_late(f"{plan.side}, the calls from {calls} on"):
                found = soaked.imbalances(batch, plan.seed, transport)
            imbalances += [f"calls {calls} to {stop}, {transport}: {line}" for line in found]
            calls, number = stop, number + 1
            if number % plan.every == 0:
                looks.append(look(calls))
                print(f"{plan.side}: {_said(looks[-1])}", flush=True)
                if len(looks).bit_count() == 1:  # the 1st, 2nd, 4th, 8th, …
                    known[len(looks)] = kinds()
            if len(imbalances) >= AT_MOST:
                break
        more = kinds()
        more.subtract(_base(known, len(looks)))
    return Played(looks, imbalances, dict(more.most_common(_TELLS)), time.monotonic() - began)


def _warm(soaked: Soaked, plan: Plan) -> None:
    """Have LiteLLM import what it imports at the first call; all that is there by then is left."""
    for transport in plan.transports:
        soaked.play(list(plans(plan.seed, range(40), _WIRES, _WARMING)), plan.seed, transport)
    freeze()


def _base(known: Mapping[int, Counter[str]], looks: int) -> Counter[str]:
    """Return the classes as they were at a third of the looks, or at the last look before."""
    early = [number for number in known if number <= max(1, looks // 3)]
    return known[early[-1]] if early else Counter()


def _is_over(plan: Plan, calls: int, seconds: float) -> bool:
    if plan.calls is not None:
        return calls >= plan.calls
    return plan.seconds is not None and seconds >= plan.seconds


def _said(one: Look) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in one._asdict().items())
