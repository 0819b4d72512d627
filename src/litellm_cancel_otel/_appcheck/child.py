"""The application's own process: ``python -m ….child LISTENING CONTROL FAKE APP as-is``.

``LISTENING`` is the socket that it serves at, ``CONTROL`` the one at which it tells, one JSON
object a line. The process ends when the other side of ``CONTROL`` is closed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import Any, Final

from .problem import Problem, one_line
from .redirect import Redirect

PATIENCE: Final = 5.0
"""Seconds that an orderly end may take."""

_ADVICE: Final = "name it as uvicorn takes it, module:app, in the folder that has the module"


class _Control:
    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._lock = threading.Lock()

    def tell(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, default=str).encode() + b"\n"
        with self._lock, suppress(OSError):  # nobody listens any more: the end is near
            self._socket.sendall(line)

    def listen(self, host: Any) -> None:
        """Answer each line that comes, until nobody asks any more."""
        with suppress(OSError):
            while self._socket.recv(1):
                self.tell({"event": "state", **host.state()})
        ending = threading.Timer(PATIENCE, os._exit, [1])
        ending.daemon = True
        ending.start()
        host.stop()


def main(listening: str, control: str, fake: str, path: str, package: str) -> None:
    """Serve until nobody listens."""
    talking = _Control(int(control))
    try:
        _serve(socket.socket(fileno=int(listening)), talking, fake, path, package == "with")
    except Problem as problem:
        talking.tell({"event": "failed", "problem": str(problem)})
        sys.exit(1)


def _serve(
    listening: socket.socket, talking: _Control, fake: str, path: str, package: bool
) -> None:
    redirect = Redirect(fake)
    application = _application(path)
    from .host import Host  # only now: the application says how LiteLLM is loaded

    host = Host(application, talking.tell, package=package)
    threading.Thread(target=talking.listen, args=[host], daemon=True).start()
    asyncio.run(host.serve(listening))
    redirect.close()


def _application(path: str) -> Any:
    from uvicorn.importer import ImportFromStringError, import_from_string

    sys.path.insert(0, os.getcwd())
    try:
        found = import_from_string(path)
    except ImportFromStringError as exc:
        raise Problem(f"{one_line(exc).rstrip('.')}: {_ADVICE}") from None
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - the application's own: it is told
        what = one_line(f"{type(exc).__name__}: {exc}")
        raise Problem(f"{path} does not import: {what}") from None
    if not callable(found):
        raise Problem(f"{path} is no ASGI application, but {type(found).__name__}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
