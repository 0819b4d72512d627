"""Lines of text that fit a terminal: measured, cut, folded, put into columns; no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple
from unicodedata import combining, east_asian_width


class Style(StrEnum):
    """How a line is shown where there are colours: what a terminal calls it."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    YELLOW = "33"
    ALARM = "1;31"


class Line(NamedTuple):
    """One line on the screen."""

    text: str
    style: Style = Style.PLAIN

    def styled(self) -> str:
        """Return it with what a terminal shows in colour."""
        return f"\x1b[{self.style}m{self.text}\x1b[0m" if self.style else self.text


def clean(text: str) -> str:
    """Return a text without what a terminal would obey: a model's name may be a client's."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cells(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, width: int) -> str:
    """Return a text in at most that many columns; where something is left out, it says so."""
    if cells(text) <= width:
        return text
    return _head(text, width - 1) + "…"


def folded(text: str, width: int, indent: str) -> Iterator[str]:
    """Yield a text whole, on as many lines as it takes, each after the first with the indent."""
    prefix = indent = indent[: max(0, width - 2)]
    while cells(prefix + text) > width:
        head = _head(text, width - cells(prefix))
        space = head.rfind(" ")
        head = head[: space + 1] if space > 0 else head or text[:1]
        yield (prefix + head).rstrip()
        text, prefix = text[len(head) :], indent
    yield prefix + text


def joined(parts: Sequence[str], width: int, indent: str) -> Iterator[str]:
    """Yield the parts, as many on a line as fit."""
    line = indent + parts[0]
    for part in parts[1:]:
        longer = f"{line} · {part}"
        if cells(longer) > width:
            yield cut(line, width)
            longer = indent + part
        line = longer
    yield cut(line, width)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table: the first column has what room the others leave.

    A name that begins with ">" is of a column that is flush right.
    """
    names = [name.removeprefix(">") for name in head]
    every = [names, *rows]
    widths = [max(cells(row[column]) for row in every) for column in range(len(names))]
    widths[0] = max(1, width - sum(one + 1 for one in widths[1:]))
    right = [name.startswith(">") for name in head]
    return [cut(_row(row, widths, right), width) for row in every]


def _row(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, width, flush in zip(row, widths, right, strict=True):
        text = cut(text, width)
        space = " " * (width - cells(text))
        padded.append(space + text if flush else text + space)
    return " ".join(padded).rstrip()


def _head(text: str, width: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _cells(char)
        if taken > width:
            return text[:index]
    return text


def _cells(char: str) -> int:
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1
