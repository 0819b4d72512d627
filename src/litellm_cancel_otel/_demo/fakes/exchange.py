"""What happened with one request, seen from the provider's side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from litellm_cancel_otel._demo.fakes.board import Board
from litellm_cancel_otel._demo.fakes.script import Ending, Script
from litellm_cancel_otel._demo.fakes.wire.base import Call

ClosedBy: TypeAlias = Literal["client", "server"]
How: TypeAlias = Ending | Literal["client_gone", "provider_closed"]


class Exchange:
    """One request and its answer.

    Over means: the answer was sent, or broken off as its script says, or the client went away, or
    the provider was closed. ``closed_at`` is that moment in ``time.perf_counter()`` seconds, and
    None while the exchange is open; likewise ``closed_by`` and ``how``. After a complete answer the
    connection itself stays open, for the client's next request.
    """

    def __init__(
        self, call: Call, headers: Mapping[str, str], script: Script, on_over: Callable[[], None]
    ) -> None:
        self.call = call
        self.headers = headers
        self.script = script
        self.wire = call.wire
        self.operation = call.operation
        self.model = call.model
        self.stream = call.stream
        self.payload = call.payload
        self.arrived_at = time.perf_counter()
        self.chunks_sent = 0
        self.closed_at: float | None = None
        self.closed_by: ClosedBy | None = None
        self.how: How | None = None
        self._on_over = on_over
        self._board = Board()
        self._hung = False
        self._released = asyncio.Event()

    def __repr__(self) -> str:
        state = self.how or ("hanging" if self.hanging else "open")
        return (
            f"<Exchange {self.wire} {self.operation} {self.model!r} stream={self.stream} "
            f"chunks_sent={self.chunks_sent} {state}>"
        )

    @property
    def hanging(self) -> bool:
        """Whether the provider is silent at the place where its script says so."""
        return self._hung and not self._released.is_set() and self.how is None

    def release(self) -> None:
        """End the hang, or never begin it; the answer goes on."""
        self._released.set()

    async def wait_chunks(self, count: int, timeout: float = 5.0) -> None:
        """Wait until at least that many chunks were sent; a whole body counts as one.

        Raises TimeoutError after ``timeout`` seconds, RuntimeError if the exchange ends before.
        """
        await self._wait(lambda: self.chunks_sent >= count, f"{count} chunks", timeout)

    async def wait_hanging(self, timeout: float = 5.0) -> None:
        """Wait until the provider has fallen silent, at its script's ``hang_at``.

        Raises TimeoutError after ``timeout`` seconds, RuntimeError if the exchange ends before.
        """
        await self._wait(lambda: self._hung, "the hang", timeout)

    async def wait_closed(self, timeout: float = 5.0) -> None:
        """Wait until the exchange is over; TimeoutError after ``timeout`` seconds."""
        await self._wait(lambda: self.how is not None, "the end", timeout)

    async def hang(self) -> None:
        """Be silent until released: for the player of the script."""
        self._hung = True
        self._board.announce()
        await self._released.wait()

    def sent(self, chunks: int) -> None:
        """Note that so many more chunks were sent: for the player of the script."""
        self.chunks_sent += chunks
        self._board.announce()

    def over(self, how: How) -> None:
        """Note the end, once; what comes later is no news: for the server."""
        if self.how is not None:
            return
        self.closed_at = time.perf_counter()
        self.how = how
        self.closed_by = "client" if how == "client_gone" else "server"
        self._board.announce()
        self._on_over()

    async def _wait(self, holds: Callable[[], bool], what: str, timeout: float) -> None:
        await self._board.until(
            lambda: holds() or self.how is not None, f"{what} of {self!r}", timeout
        )
        if not holds():
            raise RuntimeError(f"{self!r} was over before {what}")
