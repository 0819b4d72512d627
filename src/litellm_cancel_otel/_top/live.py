"""The live view: a frame every so often until ``q`` is pressed."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from .readings import Metrics, Streams, Unreadable
from .view import frame, notice

Read = Callable[[], Streams | Metrics]


def run(read: Read, interval: float) -> None:
    """Show frames on the terminal until ``q`` or Ctrl-C."""
    for name in ("COLUMNS", "LINES"):  # the terminal knows better, and when it is resized
        os.environ.pop(name, None)
    console = Console(highlight=False)
    keys = sys.stdin.fileno()
    with _single_keys(keys), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                shown = frame(read(), console.width, console.height)
                live.update(shown, refresh=True)
            except Unreadable as exc:  # it may come back: a server that restarts, for one
                live.update(notice(str(exc)), refresh=True)
            if _asked_to_leave(keys, interval):
                return


@contextmanager
def _single_keys(keys: int) -> Iterator[None]:
    """Get keys without a return key, and put the terminal back."""
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys)
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _asked_to_leave(keys: int, within: float) -> bool:
    if not select.select([keys], [], [], within)[0]:
        return False
    pressed = os.read(keys, 64)
    return not pressed or b"q" in pressed.lower()  # nothing: the terminal has gone
