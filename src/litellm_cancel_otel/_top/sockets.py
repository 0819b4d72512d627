"""Reads the sockets of the processes that are watched on this machine."""

import glob
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from .._contract.records import Phase, Place, Reason, StreamState
from .._integration.feed import FORMAT, PID, same_user
from .readings import Process, Streams, Unreadable

IN_DIRECTORY: Final = "litellm-cancel-otel*.sock"
"""The sockets that are looked for where a directory is given: others' are left alone."""

SWITCH_ON: Final = (
    "start the application with "
    f"LITELLM_CANCEL_OTEL_TOP_SOCKET=$XDG_RUNTIME_DIR/litellm-cancel-otel-{PID}.sock "
    "and give top the same path"
)

_PATIENCE: Final = 2.0


def read(given: Iterable[str]) -> Streams:
    """Return what every process says that serves one of the paths.

    A path may be a socket, a directory, a glob pattern, or one with ``{pid}``. Raises Unreadable
    where nobody answers.
    """
    processes: list[Process] = []
    silent: list[str] = []
    paths = list(given)
    for path in _expanded(paths):
        try:
            processes.append(_process(_document(path)))
        except (OSError, ValueError) as exc:
            silent.append(f"{path}: {_reason(exc)}")
    if not processes:
        why = "; ".join(silent) or f"no socket at {', '.join(paths)}"
        raise Unreadable(f"no process answers ({why}): {SWITCH_ON}")
    return Streams(tuple(sorted(processes, key=lambda one: one.pid)), tuple(silent))


def _expanded(given: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for path in given:
        if PID in path:
            pattern = "*".join(glob.escape(part) for part in path.split(PID))
        elif os.path.isdir(path):
            pattern = os.path.join(glob.escape(path), IN_DIRECTORY)
        elif os.path.lexists(path) or not glob.has_magic(path):
            found[path] = None
            continue
        else:
            pattern = path
        found |= dict.fromkeys(sorted(glob.glob(pattern)))
    return list(found)


def _document(path: str) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        if not same_user(connection):
            raise PermissionError("it belongs to another user")
        with connection.makefile("rb") as answer:
            return json.load(answer)


def _process(document: Any) -> Process:
    try:
        about = document["litellm_cancel_otel"]
        if about["format"] != FORMAT:
            raise ValueError("it runs another version of litellm-cancel-otel")
        streams = tuple(_state(one) for one in document["streams"])
        return Process(int(about["pid"]), about["service"], streams)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("what answers is no litellm-cancel-otel") from None


def _state(told: Mapping[str, Any]) -> StreamState:
    # A newer process may tell more than this version knows.
    known = {item.name: told[item.name] for item in fields(StreamState)}
    return StreamState(
        **{
            **known,
            "phase": Phase(known["phase"]),
            "stuck": None if known["stuck"] is None else Reason(known["stuck"]),
            "chain": tuple(
                Place(place["file"], place["line"], place["function"]) for place in known["chain"]
            ),
        }
    )


def _reason(exc: Exception) -> str:
    match exc:
        case FileNotFoundError():
            return "there is none"
        case ConnectionRefusedError():
            return "its process is dead"
        case TimeoutError():
            return f"no answer in {_PATIENCE:g} s"
        case json.JSONDecodeError():
            return "what answers is no litellm-cancel-otel"
        case OSError(strerror=str(said)):
            return said.lower()
        case _:
            return str(exc)
