"""Whether the long tests are run: ``.ci/run`` asks for all, and so does who names tests."""

import os
from collections.abc import Sequence
from typing import Final, TypeVar
from zlib import crc32

import pytest

T = TypeVar("T")

LEFT_OUT: Final = "left out; REQUIRE_ALL_TESTS=1 runs them, and so does naming a file or -k"
WANTED: Final = "long_tests"
"""What the controlling process tells a worker of xdist under."""

THOROUGH: Final = os.environ.get("REQUIRE_ALL_TESTS") == "1"


def wanted(config: pytest.Config) -> bool:
    """Return whether the long tests are run, and every test on each kind of loop."""
    told = getattr(config, "workerinput", {}).get(WANTED)
    if told is not None:
        return bool(told)
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return THOROUGH or named or bool(config.getoption("keyword"))


def one_of(choices: Sequence[T], name: str) -> T:
    """Return one of several, always the same for a name; many names spread over all of them."""
    return choices[crc32(name.encode()) % len(choices)]
