"""An await chain as its reader wants it: the application's own frames, and the libraries folded."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from .records import Place


class Whereabouts(NamedTuple):
    """Where a stream is, the application first."""

    own: tuple[Place, ...]
    """The application's frames, innermost first."""
    within: tuple[str, ...]
    """The libraries that the innermost of them waits in, outermost first."""
    innermost: Place | None
    """Where it waits at last, where that is in a library."""
    around: tuple[str, ...]
    """The libraries that have called the outermost of them, outermost first."""


def whereabouts(chain: Sequence[Place]) -> Whereabouts:
    """Return what a chain, outermost first, says of the application and of what it waits for.

    Of an application that is installed beside its libraries, the frame that calls LiteLLM stands
    for it; where there is none, the innermost.
    """
    own = [number for number, place in enumerate(chain) if not place.library]
    if not own and chain:
        own = [_caller_of_litellm(chain)]
    if not own:
        return Whereabouts((), (), None, ())
    inside = chain[own[-1] + 1 :]
    return Whereabouts(
        tuple(chain[number] for number in reversed(own)),
        _names(inside),
        inside[-1] if inside else None,
        _names(chain[: own[0]]),
    )


def shown(place: Place) -> str:
    """Return a frame as it is shown everywhere: file, line, function."""
    return f"{place.file}:{place.line} {place.function}"


def _caller_of_litellm(chain: Sequence[Place]) -> int:
    first = (number for number, place in enumerate(chain) if _library(place) == "litellm")
    return max(0, next(first, len(chain)) - 1)


def _names(places: Iterable[Place]) -> tuple[str, ...]:
    return tuple(name for name, _ in groupby(map(_library, places)))


def _library(place: Place) -> str:
    return place.file.partition("/")[0].removesuffix(".py")
