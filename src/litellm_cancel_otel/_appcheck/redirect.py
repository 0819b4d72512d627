"""Sends to a fake provider what LiteLLM and the providers' own clients send over httpx.

Variables and arguments need not say so: an address that the application has written into its code
is followed too, and no request of a call's leaves the machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from contextlib import ExitStack
from functools import wraps
from typing import Any, Final
from urllib.parse import urlsplit

_LIBRARIES: Final = ("httpx", "httpx2")
_SEAMS: Final = f"{__package__.rpartition('.')[0]}._seams.active"
"""Looked up, not imported: LiteLLM would be loaded with it, before the application says how."""

_OPENAI: Final = (
    *("chat/completions", "completions", "responses", "embeddings", "moderations"),
    *("images/generations", "audio/speech", "audio/transcriptions"),
)
_KNOWN: Final = re.compile(
    r"/openai/deployments/[^/]+/.+$"
    r"|/v1/messages$"
    r"|/model/[^/]+/(converse|converse-stream|invoke|invoke-with-response-stream)$"
    rf"|/(openai/v1/|v1/)?({'|'.join(_OPENAI)})$"
)
"""How the path of a provider's request ends, whatever a gateway puts before it."""


class Redirect:
    """Sends every provider's request to the fake at an address, until ``close()``."""

    def __init__(self, base_url: str) -> None:
        self._port = urlsplit(base_url).port
        self._open = True
        self._undo = ExitStack()
        for name in _LIBRARIES:
            if importlib.util.find_spec(name) is not None:
                library = importlib.import_module(name)
                self._patch(library.AsyncClient, self._turned_async(library.AsyncClient.send))
                self._patch(library.Client, self._turned(library.Client.send))

    def close(self) -> None:
        """Put everything back; what somebody has patched over only passes on from now."""
        self._open = False
        self._undo.close()

    def _patch(self, client: Any, send: Any) -> None:
        original, client.send = client.send, send

        def undo() -> None:
            if client.send is send:
                client.send = original

        self._undo.callback(undo)

    def _turned_async(self, original: Any) -> Any:
        @wraps(original)
        async def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            self._turn(request)
            return await original(client, request, *args, **kwargs)

        return send

    def _turned(self, original: Any) -> Any:
        @wraps(original)
        def send(client: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            self._turn(request)
            return original(client, request, *args, **kwargs)

        return send

    def _turn(self, request: Any) -> None:
        raw: bytes = request.url.raw_path
        path, mark, query = raw.decode("ascii").partition("?")
        known = _KNOWN.search(path) if request.method == "POST" else None
        if not self._open or (known is None and not _in_call()):
            return  # the application's own affair
        target = (known[0] if known else path) + mark + query
        request.url = request.url.copy_with(
            scheme="http", host="127.0.0.1", port=self._port, raw_path=target.encode("ascii")
        )
        request.headers["host"] = f"127.0.0.1:{self._port}"


def _in_call() -> bool:
    """Return whether this is part of a LiteLLM call that is watched."""
    seams = sys.modules.get(_SEAMS)
    return seams is not None and seams.CURRENT.get() is not None
