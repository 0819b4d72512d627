"""The log's word on what a cancel cannot stop: once for each provider and operation."""

from typing import Final

from .._contract import semconv as sc
from .._contract.log import warn
from .._contract.records import Ending, Outcome

_MOST: Final = 100
"""Pairs that are told; a provider's name may be the application's own."""


class UnstoppableLog:
    """Tells of each provider and operation once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, ending: Ending) -> None:
        """Tell of a call that was cancelled and whose request goes on in a thread."""
        facts = ending.facts
        pair = (sc.provider_name(facts.provider), facts.operation)
        if ending.verdict.outcome is not Outcome.CANCELLED or pair in self._told:
            return
        if len(self._told) < _MOST:
            self._told.add(pair)
            warn(
                "a call was cancelled and its request goes on: litellm makes it in a thread, which "
                "nothing can stop (provider %s, operation %s; said once)",
                *pair,
            )
