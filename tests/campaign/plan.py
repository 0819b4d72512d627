"""What is played: a pure function of the seed and the call's number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from litellm_cancel_otel._demo.fakes import Script, Wire

from .fates import FATES, Fate


@dataclass(frozen=True, slots=True)
class Plan:
    """One call: its number, its fate, its provider, and the provider's script."""

    index: int
    fate: Fate
    wire: Wire
    script: Script

    def __str__(self) -> str:
        return f"call {self.index}: {self.fate.name} at {self.wire}, {self.script}"

    def luck(self, seed: int) -> Random:
        """Return the call's own random source."""
        return Random(f"{seed}:{self.index}:play")


def plans(
    seed: int, indices: Iterable[int], wires: Sequence[Wire], names: Sequence[str] = ()
) -> Iterator[Plan]:
    """Draw the calls with these numbers; ``names`` are the fates to draw from, by default all."""
    fates = [FATES[name] for name in names] or list(FATES.values())
    weights = [fate.weight for fate in fates]
    for index in indices:
        luck = Random(f"{seed}:{index}")
        (fate,) = luck.choices(fates, weights)
        yield Plan(index, fate, luck.choice(wires), luck.choice(fate.scripts))
