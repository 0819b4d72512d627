"""The fake provider that a test holds."""

from __future__ import annotations

from .._demo.fakes import Exchange, Script, ThreadedFakeProvider
from .._demo.fakes.script import HangAt


class ProviderOfTest(ThreadedFakeProvider):
    """Answers every LiteLLM call of a test."""

    def answers(
        self,
        *,
        chunks: int | None = 5,
        interval: float = 0.0,
        status: int = 200,
        hang_at: HangAt = None,
    ) -> None:
        """Answer like this from now on."""
        self.provider.script = Script(
            chunks=chunks, interval=interval, status=status, hang_at=hang_at
        )

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked so far, and how each of it ended."""
        return list(self.provider.exchanges)
