"""The live view: a frame every so often until ``q`` is pressed."""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from .lines import Line
from .readings import Metrics, Streams, Unreadable
from .view import frame, notice

Read = Callable[[], Streams | Metrics]

_ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""To the terminal's other screen, without a cursor."""

_LEAVE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_EMPTY_LINE: Final = "\x1b[2K"
_EMPTY_BELOW: Final = "\r\n\x1b[J"


def run(read: Read, interval: float) -> None:
    """Show frames on the terminal until ``q`` or Ctrl-C."""
    keys = sys.stdin.fileno()
    with _single_keys(keys), _other_screen():
        while True:
            # Of the terminal itself, which may be resized: not of the environment.
            width, height = os.get_terminal_size(sys.stdout.fileno())
            try:
                lines = frame(read(), width, height, live=True)
            except Unreadable as exc:  # it may come back: a server that restarts, for one
                lines = notice(str(exc), width)[:height]
            _show(lines, height)
            if _asked_to_leave(keys, interval):
                return


def _show(lines: list[Line], height: int) -> None:
    # Emptied before, not behind the text: behind a full line a terminal stands on its last cell.
    text = "\r\n".join(_EMPTY_LINE + line.styled() for line in lines)
    sys.stdout.write(_HOME + text + (_EMPTY_BELOW if len(lines) < height else ""))
    sys.stdout.flush()


@contextmanager
def _other_screen() -> Iterator[None]:
    """Show what is shown on the terminal's other screen, and put the first one back."""
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


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
