"""Text that others chose, made fit for telemetry: a model's name may be a client's own words."""

from typing import Final

MOST: Final = 256
"""How many characters of one text are kept."""


def plain(text: str) -> str:
    """Return a text on one line, of printable characters, 256 at the most."""
    if len(text) <= MOST and text.isprintable():
        return text
    if len(text) > MOST:
        text = text[: MOST - 1] + "…"
    return "".join(one if one.isprintable() else "?" for one in text)
