"""The kinds of settings: each checks a value, reads it from text and describes its range."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol


class Kind(Protocol):
    """One kind of setting; raises TypeError or ValueError for a value that does not fit."""

    @property
    def range(self) -> str:
        """The values that fit, worded to follow "must be"."""

    def check(self, value: object) -> object:
        """Return the value as it is to be kept."""

    def parse(self, text: str) -> object:
        """Read the value from an environment variable; ``check`` comes after it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def range(self) -> str:
        return "one of " + ", ".join(self.words)

    def check(self, value: object) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        raise ValueError

    def parse(self, text: str) -> str:
        return text.lower()


_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    range: str = "true or false (in the environment also 1, 0, yes, no, on, off)"

    def check(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise ValueError

    def parse(self, text: str) -> bool:
        try:
            return _FLAGS[text.lower()]
        except KeyError:
            raise ValueError from None


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, both ends included."""

    low: int
    high: int

    @property
    def range(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def check(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):  # a bool is an int to Python
            raise TypeError
        if not self.low <= value <= self.high:
            raise ValueError
        return value

    def parse(self, text: str) -> int:
        return int(text)


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration, both ends included."""

    low: float
    high: float

    @property
    def range(self) -> str:
        return f"a number of seconds from {self.low:g} to {self.high:g}"

    def check(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError
        if not self.low <= value <= self.high:  # NaN is neither
            raise ValueError
        return float(value)

    def parse(self, text: str) -> float:
        return float(text)


AUTO: Final = "auto"
"""Stands for a place that the package chooses."""


@dataclass(frozen=True, slots=True)
class SocketPath:
    """A path short enough for a Unix socket on every system, ``auto``, or None."""

    longest: int = 103  # macOS: sun_path has 104 bytes, the last of them NUL

    @property
    def range(self) -> str:
        return f"auto, off (in Python None), or a path of at most {self.longest} bytes"

    def check(self, value: object) -> str | None:
        if value is None:
            return None
        path = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(path, str) or "\0" in path:
            raise ValueError
        if not 1 <= len(os.fsencode(path)) <= self.longest:
            raise ValueError
        return path

    def parse(self, text: str) -> str | None:
        switched = AUTO if text.lower() == AUTO else _FLAGS.get(text.lower(), text)
        if isinstance(switched, bool):
            return AUTO if switched else None
        return switched


class Limit(NamedTuple):
    """How long a stream may give no chunk before it is stuck, in seconds."""

    no_chunk: float
    first_chunk: float


class Limits(Mapping[str, Limit]):
    """Limits by pattern, in the order written; it can be hashed and pickled."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Iterable[tuple[str, Limit]] = ()) -> None:
        self._limits = dict(limits)

    def __getitem__(self, pattern: str) -> Limit:
        return self._limits[pattern]

    def __iter__(self) -> Iterator[str]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)

    def __hash__(self) -> int:
        return hash(frozenset(self._limits.items()))

    def __repr__(self) -> str:
        return repr({pattern: tuple(limit) for pattern, limit in self.items()})


@dataclass(frozen=True, slots=True)
class LimitsByModel:
    """A mapping of "provider" or "provider/model" patterns to pairs of limits."""

    no_chunk: Seconds
    first_chunk: Seconds

    @property
    def range(self) -> str:
        return (
            'a mapping (in the environment a JSON object) of "provider" or "provider/model" '
            f"patterns to pairs [no_chunk, first_chunk], each {self.no_chunk.range}"
        )

    def check(self, value: object) -> Limits:
        if not isinstance(value, Mapping):
            raise TypeError
        return Limits(self._pair(pattern, limit) for pattern, limit in value.items())

    def _pair(self, pattern: object, limit: object) -> tuple[str, Limit]:
        if not isinstance(pattern, str) or not all(pattern.split("/", 1)):
            raise ValueError
        if not isinstance(limit, list | tuple) or len(limit) != len(Limit._fields):
            raise ValueError
        return pattern, Limit(self.no_chunk.check(limit[0]), self.first_chunk.check(limit[1]))

    def parse(self, text: str) -> object:
        return json.loads(text)
