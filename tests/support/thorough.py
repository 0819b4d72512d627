"""Whether the long sweeps are run whole: ``.ci/run`` asks for it, else a spread of each is run."""

import os
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

THOROUGH = os.environ.get("REQUIRE_ALL_TESTS") == "1"


def one_of(choices: Sequence[T], name: str) -> T:
    """Return one of several, always the same for a name; many names spread over all of them."""
    return choices[crc32(name.encode()) % len(choices)]
