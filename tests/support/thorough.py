"""How much of a long sweep is run: all of it where nothing may be skipped, else a spread."""

import os
from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")

THOROUGH = os.environ.get("REQUIRE_ALL_TESTS") == "1"


def thorough(every: Sequence[Thing], one_in: int) -> list[Thing]:
    """Return every one where ``.ci/run`` asks for all, else one of so many, the first among them."""
    return list(every if THOROUGH else every[::one_in])
