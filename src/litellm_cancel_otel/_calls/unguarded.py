"""How an application says that it goes on although its client has gone."""

from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final

from .._asyncio.context_variables import put_back
from .request import REQUEST, Request

UNGUARDED: Final[ContextVar[int]] = ContextVar("litellm_cancel_otel_unguarded", default=0)
"""In how many such blocks the running code is."""


class unguarded:
    """Says that what runs in this block goes on although its client has gone.

    As a context manager, ``with`` or ``async with``: the guard neither stops the request while it
    is in the block nor closes the streams of calls that begin in it. As a FastAPI dependency,
    ``Depends(unguarded())``, the same for the whole request. Everything is told as before. For one
    call, ``metadata={"litellm_cancel_guard": False}`` says the same.
    """

    def __init__(self) -> None:
        self._entered: list[tuple[Request | None, Token[int]]] = []
        """The blocks that are not left yet, and in which request; threads may share an object."""

    def __enter__(self) -> None:
        request = REQUEST.get()
        self._entered.append((request, UNGUARDED.set(UNGUARDED.get() + 1)))
        if request is not None:
            request.unguarded += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        request = self._leave()
        if request is not None:
            request.unguarded -= 1

    def _leave(self) -> Request | None:
        """Leave the running context's last block; return the request that it was entered in."""
        for entered in reversed(self._entered.copy()):
            request, token = entered
            if put_back(UNGUARDED, token):
                self._entered.remove(entered)
                return request
        # The collector ends a generator in whatever context is running: that one stays as it is.
        return self._entered.pop()[0]

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.__exit__(kind, exc, tb)

    async def __call__(self) -> None:
        """Say it for the running request; FastAPI calls this, in the request's task."""
        request = REQUEST.get()
        if request is not None:
            request.unguarded += 1
        else:  # no middleware of ours: the task of the request has a context of its own
            UNGUARDED.set(UNGUARDED.get() + 1)
