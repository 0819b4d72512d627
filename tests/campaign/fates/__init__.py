"""Every fate of a call, by name."""

from collections.abc import Mapping

from . import answers, cancels, internals, leaving, loops, sharing
from .fate import Fate

FATES: Mapping[str, Fate] = {
    fate.name: fate
    for module in (answers, cancels, leaving, sharing, internals, loops)
    for fate in module.FATES
}

__all__ = ["FATES", "Fate"]
