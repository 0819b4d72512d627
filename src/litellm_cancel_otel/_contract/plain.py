"""Makes text from outside safe for telemetry: a client may choose a model's name freely."""

from typing import Final

MOST: Final = 256
"""How many characters of one text are kept."""


def plain(text: str) -> str:
    """Return the text on one line: at most 256 characters, all of them printable."""
    if len(text) <= MOST and text.isprintable():
        return text
    if len(text) > MOST:
        text = text[: MOST - 1] + "…"
    return "".join(one if one.isprintable() else "?" for one in text)
