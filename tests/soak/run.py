"""Plays the campaign's batches until the time is over."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version

from ..campaign.run import Campaign
from .table import Flatness, swollen, thirds

FOR_EVER = 1_000_000_000


class Soak(Campaign):
    """A campaign that is as long as the clock says."""

    def go_on(self, seconds: float | None, calls: int | None) -> None:
        """Play for so many seconds, or so many calls; stop at too many imbalances."""
        self._until = None if seconds is None else time.monotonic() + seconds
        self.run(0, FOR_EVER if calls is None else calls)
        for line in swollen(thirds(self.looks)):
            print(line, flush=True)
            self.imbalances.append(line)

    def over(self) -> bool:
        """Return whether the time has passed."""
        return super().over() or (self._until is not None and time.monotonic() >= self._until)

    def flatness(self) -> Flatness:
        """Return what the process held in the first third and in the last."""
        return Flatness(
            python=platform.python_version(),
            litellm=version("litellm"),
            seed=self._seed,
            seconds=self.seconds,
            calls=self.calls,
            imbalances=len(self.imbalances),
            held=thirds(self.looks),
        )
