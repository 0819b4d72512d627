"""How wide things are in Grafana, measured in its version 12.4 with the navigation docked.

The window is 1280 or 1920 pixels wide, the grid inside of it 930 or 1570. Texts are reckoned from
the widths of the glyphs of Grafana's font, Inter Medium.
"""

from typing import Any

GRIDS = (930, 1570)
GAP, COLUMNS = 8, 24
FRAME = 54
"""Of a panel's width, what the padding and the menu take from its title."""
ICON = 38
"""What each icon beside the title takes: one for the description, one for the panel's own links."""
BORDER = 18
"""Of a panel's width, what its border and padding take from a table."""
CELL, ARROW = 12, 20
"""Of a column's width, what the padding takes, and the arrow of the column that is sorted by."""
COLUMN = 150
"""What a column takes at the least, unless ``custom.minWidth`` says less."""

# In thousandths of the font's size, from the space to the tilde.
GLYPHS = (
    *(
        265,
        294,
        400,
        637,
        643,
        828,
        651,
        217,
        378,
        378,
        522,
        666,
        288,
        463,
        283,
        368,
        646,
        473,
        613,
    ),
    *(
        644,
        654,
        620,
        636,
        579,
        631,
        636,
        283,
        288,
        666,
        666,
        666,
        526,
        968,
        700,
        654,
        735,
        722,
        603,
    ),
    *(
        586,
        749,
        742,
        270,
        552,
        664,
        564,
        898,
        747,
        768,
        639,
        768,
        645,
        643,
        651,
        738,
        700,
        978,
        666,
    ),
    *(
        685,
        639,
        378,
        368,
        378,
        475,
        460,
        497,
        569,
        626,
        568,
        626,
        587,
        369,
        617,
        602,
        249,
        249,
        556,
    ),
    *(
        249,
        884,
        597,
        602,
        617,
        617,
        384,
        536,
        372,
        594,
        566,
        825,
        551,
        566,
        551,
        378,
        342,
        378,
        666,
    ),
)


def text_width(text: str, size: int = 14) -> float:
    """Return the width of a text in pixels."""
    return sum(GLYPHS[ord(letter) - 32] for letter in text) * size / 1000


def panel_width(columns: int, grid: int) -> float:
    """Return the width of a panel in pixels."""
    return columns * (grid + GAP) / COLUMNS - GAP


def title_room(panel: dict[str, Any], grid: int) -> float:
    """Return the pixels that a panel has for its title."""
    icons = bool(panel.get("description")) + bool(panel.get("links"))
    return panel_width(panel["gridPos"]["w"], grid) - FRAME - icons * ICON


def column_widths(panel: dict[str, Any], names: list[str], grid: int) -> dict[str, float]:
    """Return the widths of a table's columns: fixed ones, and the rest shared among the others."""
    fixed = {name: width for name in names if (width := _width(panel, name))}
    room = panel_width(panel["gridPos"]["w"], grid) - BORDER - sum(fixed.values())
    others = [name for name in names if name not in fixed]
    least = panel["fieldConfig"]["defaults"].get("custom", {}).get("minWidth", COLUMN)
    return {name: fixed.get(name, max(least, room / max(1, len(others)))) for name in names}


def _width(panel: dict[str, Any], name: str) -> float | None:
    for override in panel["fieldConfig"].get("overrides", ()):
        if override["matcher"] == {"id": "byName", "options": name}:
            for one in override["properties"]:
                if one["id"] == "custom.width":
                    return float(one["value"])
    return None


def difference(one: str, other: str) -> float:
    """Return how different two colours look: CIE 1976, where 2 is just seen side by side."""
    return float(sum((a - b) ** 2 for a, b in zip(_lab(one), _lab(other), strict=True)) ** 0.5)


def _lab(colour: str) -> tuple[float, float, float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)
