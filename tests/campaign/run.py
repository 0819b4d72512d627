"""Plays batch after batch, balances each one's books, and looks for growth."""

from __future__ import annotations

import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import litellm

from litellm_cancel_otel._demo.fakes import PROVIDERS, Wire

from ..support.telemetry import Telemetry
from .books import balance
from .growth import Held, grown, held
from .plan import plans
from .report import Figures
from .world import Ears, World, freeze

AT_MOST = 20
"""Imbalances after which the campaign ends."""
TRANSPORTS = ("aiohttp", "httpx")
WIRES: tuple[Wire, ...] = tuple(
    wire for wire in PROVIDERS if wire != "bedrock" or find_spec("botocore")
)


class Campaign:
    """Plays calls by a seed; ``fates`` are those to draw from, by default all."""

    def __init__(self, seed: int, batch: int, fates: Sequence[str]) -> None:
        self._seed = seed
        self._batch = batch
        self._fates = fates
        self.imbalances: list[str] = []
        self.calls = 0
        self.by_fate: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.looks: list[Held] = []
        self.seconds = self.cpu = 0.0

    def run(self, first: int, calls: int) -> None:
        """Play that many calls, or stop at too many imbalances."""
        # A socket of its own: who looks for the user's sockets with ``top`` would open one here.
        with (
            Ears() as ears,
            tempfile.TemporaryDirectory() as folder,
            Telemetry(orphan_grace=0.05, top_socket=str(Path(folder) / "top")) as telemetry,
        ):
            litellm.callbacks = [telemetry.callback]
            world = World(telemetry, ears)
            self._warm(world)
            begun, cpu = time.monotonic(), time.process_time()
            for number, at in enumerate(range(first, first + calls, self._batch)):
                self._play(world, range(at, min(at + self._batch, first + calls)))
                self.seconds = time.monotonic() - begun
                self.cpu = time.process_time() - cpu
                if number % 20 == 19:
                    print(self.progress(), flush=True)
                if len(self.imbalances) >= AT_MOST:
                    break
            litellm.callbacks = []
        for line in grown(self.looks):
            print(line, flush=True)
            self.imbalances.append(line)

    def _warm(self, world: World) -> None:
        """Have LiteLLM import what it imports at the first call to each provider."""
        for transport in TRANSPORTS:
            first = plans(self._seed, range(32), WIRES, ["stream", "body"])
            world.play(list(first), self._seed, transport)
        freeze()

    def _play(self, world: World, indices: range) -> None:
        transport = TRANSPORTS[indices.start // self._batch % len(TRANSPORTS)]
        batch = list(plans(self._seed, indices, WIRES, self._fates))
        entries, told, left = world.play(batch, self._seed, transport)
        self.calls += len(batch)
        self.by_fate.update(plan.fate.name for plan in batch)
        self.outcomes.update(told.outcomes)
        where = f"seed {self._seed}, batch {indices.start}-{indices.stop}, {transport}"
        found = [f"{where}: {line}" for line in balance(entries, told, left)]
        for line in found:
            print(line, flush=True)
        self.imbalances += found
        self.looks.append(held())

    def progress(self) -> str:
        """Say how far it has come."""
        rate = self.calls / self.seconds
        return f"{self.calls} calls, {rate:.0f} a second, {len(self.imbalances)} imbalances"

    def summary(self) -> str:
        """Return the figures in one line."""
        first, last = self.looks[0], self.looks[-1]
        return (
            f"seed {self._seed}: {self.progress()}, {self.seconds:.1f} s, "
            f"{1000 * self.cpu / self.calls:.1f} ms of CPU a call; "
            f"by outcome {dict(self.outcomes)}; after the first batch and the last: "
            f"objects {first.objects} and {last.objects}, "
            f"ours {sum(first.ours.values())} and {sum(last.ours.values())}, "
            f"descriptors {first.descriptors} and {last.descriptors}, "
            f"threads {first.threads} and {last.threads}, KiB {first.kib} and {last.kib}; "
            f"by fate {dict(sorted(self.by_fate.items()))}"
        )

    def figures(self) -> Figures:
        """Return the figures for the documentation."""
        third = max(1, len(self.looks) // 3)
        thirds = self.looks[:third], self.looks[-third:]
        ours = [max(sum(look.ours.values()) for look in looks) for looks in thirds]
        mib = [max(look.kib for look in looks) // 1024 for looks in thirds]
        return Figures(
            python=platform.python_version(),
            litellm=version("litellm"),
            transports=" and ".join(TRANSPORTS),
            seed=self._seed,
            calls=self.calls,
            imbalances=len(self.imbalances),
            completed=self.outcomes["completed"],
            failed=self.outcomes["error"],
            cancelled=self.outcomes["cancelled"],
            a_second=round(self.calls / self.seconds, 1),
            ours=(ours[0], ours[1]),
            mib=(mib[0], mib[1]),
        )
