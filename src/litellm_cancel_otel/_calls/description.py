"""What a call is: told by who knows LiteLLM, asked for by everybody else."""

from typing import Protocol

from .._contract.records import CallFacts, Subject
from .upstream import Upstream


class Description(Protocol):
    """Tells what a call is; it learns more while LiteLLM finds out."""

    def facts(self, upstream: Upstream | None) -> CallFacts:
        """Return what is known by now."""

    def subject(self) -> Subject:
        """Return the part of it that the call is counted under: much cheaper than the whole."""

    def output_price(self) -> float | None:
        """Return the USD that one output token costs; None where nobody knows."""

    def logged_by(self, logging: object) -> None:
        """Take LiteLLM's logging object of the call; the first counts."""

    def answered(self, answer: object) -> None:
        """Take the call's answer, where that is no stream."""

    def remembers(self, stream: object) -> bool:
        """Take LiteLLM's stream; return whether it keeps the chunks that it has handed out."""


class Known:
    """The description of a call of which nothing more is to be learned."""

    __slots__ = ("_facts", "_price")

    def __init__(self, facts: CallFacts, price: float | None = None) -> None:
        self._facts = facts
        self._price = price

    def facts(self, upstream: Upstream | None) -> CallFacts:
        """Return the facts."""
        return self._facts

    def subject(self) -> Subject:
        """Return what they say that it is counted under."""
        return Subject(self._facts.operation, self._facts.provider, self._facts.model)

    def output_price(self) -> float | None:
        """Return the price."""
        return self._price

    def logged_by(self, logging: object) -> None:
        """Learn nothing."""

    def answered(self, answer: object) -> None:
        """Learn nothing."""

    def remembers(self, stream: object) -> bool:
        """Learn nothing."""
        return False
