"""Patches as handles that put themselves back."""

from collections.abc import Callable
from typing import Final

Undo = Callable[[], None]

BY: Final = " is replaced by "
"""Stands between a place and who has put something there."""


class SeamMissing(Exception):
    """A place where this package would hook in is not there in the installed version."""


class Replaced(SeamMissing):
    """Another package has put something in the place that is not known to lead to LiteLLM's own.

    What could be done all the same stays done.
    """

    def __init__(self, patcher: str) -> None:
        super().__init__(f"it{BY}{patcher}")
        self.patcher = patcher


def replace(owner: object, name: str, value: object) -> Undo:
    """Set an attribute and return what puts the old one back.

    Where somebody has patched over it since, theirs stays: they hold ours, and ours only passes
    through once nobody listens.
    """
    missing = object()
    old = vars(owner).get(name, missing) if isinstance(owner, type) else getattr(owner, name)
    setattr(owner, name, value)

    def undo() -> None:
        if getattr(owner, name, None) is not value:
            return
        if old is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, old)

    return undo
