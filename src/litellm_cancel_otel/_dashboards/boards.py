"""The dashboards, and where on them a panel is."""

from typing import Final

from . import overview, provider, stuck, telemetry

BOARDS: Final = tuple(module.board() for module in (overview, provider, stuck, telemetry))


def place(name: str, title: str) -> tuple[str, int]:
    """Return the dashboard's uid and the panel's id, given the dashboard's name and a title."""
    (board,) = [board for board in BOARDS if board.name == name]
    return board.uid, board.panel_id(title)
