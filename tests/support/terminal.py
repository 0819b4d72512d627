"""A program in a real terminal of its own, by tmux: what its user sees."""

import os
import shutil
import time
from pathlib import Path

import pytest

from support import children

BACKSTOP = 60.0

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None and os.environ.get("REQUIRE_ALL_TESTS") != "1",
    reason="tmux is not installed",
)


class Terminal:
    """A program in a terminal of that size; use it with ``with``."""

    def __init__(self, home: Path, width: int, *command: str, height: int = 24) -> None:
        self._tmux = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
        self._size = ["-x", str(width), "-y", str(height)]
        # The shell stays, so that what the program leaves behind can be seen.
        self._command = f"{' '.join(command)}; echo left with $?; stty -a; read answer"

    def __enter__(self) -> "Terminal":
        self._run("new-session", "-d", *self._size, self._command)
        return self

    def __exit__(self, *_: object) -> None:
        self._run("kill-server")

    def press(self, key: str) -> None:
        """Press a key."""
        self._run("send-keys", key)

    def screen(self, lines_above: int = 0) -> str:
        """Return what is to be seen, and of what has scrolled out so many lines."""
        return self._run("capture-pane", "-p", "-S", f"-{lines_above}")

    def wait_for(self, text: str) -> str:
        """Wait until a text is to be seen; return the screen."""
        until = time.monotonic() + BACKSTOP
        while text not in (screen := self.screen()):
            assert time.monotonic() < until, screen
            time.sleep(0.05)
        return screen

    def _run(self, *args: str) -> str:
        # The terminal's size counts, not what the environment of the tests says.
        known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        ended = children.run([*self._tmux, *args], timeout=BACKSTOP, env=known)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
