"""One log record for each stuck stream and one when it clears, and never a flood of them."""

import logging
from typing import Final

from .._contract.faults import Faults
from .._contract.records import CallFacts, Place, Stuck
from .._contract.semconv import provider_name
from .._contract.whereabouts import shown, whereabouts

log = logging.getLogger("litellm_cancel_otel")

AT_MOST: Final = 10
"""Records of each kind in one ``WINDOW``; the rest are counted."""

WINDOW: Final = 60.0

_OWN: Final = 5
"""Frames of the application's that are named, the innermost ones."""


class StuckLog:
    """Writes the records; times are seconds of the watchdog's clock. Nothing in it raises."""

    def __init__(self, faults: Faults) -> None:
        self._contained = faults.contained("log")
        self._window = float("-inf")
        self._written = 0
        self._left_out = 0

    def found(self, facts: CallFacts, stuck: Stuck, chunks: int) -> bool:
        """Say that a stream is stuck, unless enough was said; return whether it was."""
        if self._written >= AT_MOST:
            self._left_out += 1
            return False
        self._written += 1
        self._say(
            "a stream is stuck (%s)%s: %s %s, call %s, for %.1f s, after %d chunks%s",
            stuck.reason,
            _where(stuck.chain),
            provider_name(facts.provider),
            facts.model,
            facts.call_id,
            stuck.found - stuck.since,
            chunks,
            f"; its event loop was blocked for {stuck.loop_lag:.1f} s" if stuck.loop_lag else "",
        )
        return True

    def cleared(self, facts: CallFacts, stuck: Stuck, now: float, *, ended: bool) -> None:
        """Say that a reported stream is no longer stuck."""
        self._say(
            "a stream is no longer stuck (%s): %s %s, call %s, %s after %.1f s",
            stuck.reason,
            provider_name(facts.provider),
            facts.model,
            facts.call_id,
            "it ended" if ended else "it moves again",
            now - stuck.since,
        )

    def tick(self, now: float) -> None:
        """Begin a new window where the last one is over, and say what it left out."""
        if now - self._window < WINDOW:
            return
        if self._left_out:
            self._say("%d more streams are or were stuck and not named here", self._left_out)
        self._window, self._written, self._left_out = now, 0, 0

    def _say(self, message: str, *values: object) -> None:
        with self._contained:  # a log handler of the application's may raise
            log.warning(message, *values)


def _where(chain: tuple[Place, ...]) -> str:
    """Return the application's frames, innermost first, and what the first of them waits in."""
    found = whereabouts(chain)
    if not found.own:
        return " at a place that is not known"
    own = ", called at ".join(map(shown, found.own[:_OWN]))
    if len(found.own) > _OWN:
        own += f" and {len(found.own) - _OWN} more"
    if found.innermost is None:
        return f" at {own}"
    return f" at {own}, waiting in {' > '.join(found.within)} at {shown(found.innermost)}"
