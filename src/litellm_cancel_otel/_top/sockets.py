"""Reads the sockets of the processes that are watched on this machine."""

import glob
import json
import os
import socket
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from .._contract.records import Phase, Place, Reason, StreamState
from .._integration.feed import FORMAT, PID
from .._integration.socket_file import peer_of, same_user
from .._integration.socket_folder import ANY, NAME, check_folder, folders_to_read, of_others
from .readings import Process, Streams, Unreadable

IN_DIRECTORY: Final = f"{NAME}*.sock"
"""The sockets that are looked for where a directory is given: others' are left alone."""

NOTHING: Final = (
    "a process is seen from its first stream on, by its own user, unless its "
    "LITELLM_CANCEL_OTEL_TOP_SOCKET or LITELLM_CANCEL_OTEL_WATCHDOG is off"
)

_PATIENCE: Final = 2.0


def read(given: Iterable[str]) -> Streams:
    """Return what every process says that serves one of the places; where none is given, all.

    A place may be a process's id, a socket, a directory, a glob pattern, or a path with ``{pid}``.
    Raises Unreadable where nobody answers.
    """
    processes: dict[Hashable, Process] = {}
    silent: list[str] = []
    places = list(given)
    for path in _expanded(places, silent):
        try:
            whose, process = _told(path)
        except (OSError, ValueError) as exc:
            silent.append(f"{path}: {_reason(exc)}")
        else:
            # Several telemetries of one process have a socket each.
            before = processes[whose].streams if whose in processes else ()
            processes[whose] = replace(process, streams=before + process.streams)
    if not processes:
        raise Unreadable(_why(places, silent))
    return Streams(tuple(sorted(processes.values(), key=lambda one: one.pid)), tuple(silent))


def _why(places: list[str], silent: list[str]) -> str:
    where = ", ".join(places or folders_to_read())
    others = ", ".join(map(str, of_others()))
    hint = f"; there may be processes of user {others}: run top as that user" if others else ""
    return f"no process answers ({'; '.join(silent) or f'no socket at {where}'}): {NOTHING}{hint}"


def _expanded(places: list[str], silent: list[str]) -> list[str]:
    found: dict[str, None] = {}
    if not places:
        found |= dict.fromkeys(_in_folders(ANY, silent))
    for place in places:
        if place.isdecimal():
            for pattern in (f"{place}.sock", f"{place}-*.sock"):
                found |= dict.fromkeys(_in_folders(pattern, silent))
            continue
        if PID in place:
            pattern = "*".join(glob.escape(part) for part in place.split(PID))
        elif os.path.isdir(place):
            ours = os.path.basename(os.path.abspath(place)).startswith(NAME)
            pattern = os.path.join(glob.escape(place), ANY if ours else IN_DIRECTORY)
        elif os.path.lexists(place) or not glob.has_magic(place):
            found[place] = None
            continue
        else:
            pattern = place
        found |= dict.fromkeys(sorted(glob.glob(pattern)))
    return list(found)


def _in_folders(pattern: str, silent: list[str]) -> Iterator[str]:
    for folder in filter(os.path.lexists, folders_to_read()):
        try:
            check_folder(folder)
        except OSError as exc:
            silent.append(str(exc))
        else:
            yield from sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))


def _told(path: str) -> tuple[Hashable, Process]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        if not same_user(connection):
            raise PermissionError("it belongs to another user")
        peer = peer_of(connection)
        with connection.makefile("rb") as answer:
            process = _process(json.load(answer))
    # A process in another container may say any id; who cannot be told apart is one by itself.
    return (peer.pid if peer is not None and peer.pid else path), process


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
                Place(place["file"], place["line"], place["function"], place["library"])
                for place in known["chain"]
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
