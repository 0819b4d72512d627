"""What a seam is, and the registry that installs all of them and puts each one back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .patching import BY, Replaced, SeamMissing, Undo

Install = Callable[[], Iterable[Undo]]


@dataclass(frozen=True, slots=True)
class Seam:
    """One place where this package hooks in."""

    name: str
    expects: str
    """What must be there for the seam to fit."""
    lost: str
    """What is lost without it, as the end of a sentence."""
    install: Install
    """Checks, patches, and hands out what puts each patch back; raises SeamMissing."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A seam that does not fit, and why."""

    seam: Seam
    reason: str
    patcher: str | None = None
    """The module of what another package has put there."""

    def __str__(self) -> str:
        if self.patcher is not None:
            return f"{self.seam.name}{BY}{self.patcher}"
        return lines([self])[0]


class Registry:
    """The seams that are installed."""

    def __init__(self) -> None:
        self._undo: list[Undo] = []

    def install(self, seams: Iterable[Seam]) -> list[Missing]:
        """Install every seam that fits; return those that do not."""
        tried = (self._try(seam) for seam in seams)
        return [missing for missing in tried if missing is not None]

    def uninstall(self) -> None:
        """Put every seam back, the last one first."""
        _take_back(self._undo)

    def _try(self, seam: Seam) -> Missing | None:
        done: list[Undo] = []
        missing = None
        try:
            for undo in seam.install():
                done.append(undo)  # what was done before one raises is taken back
        except Replaced as exc:
            missing = Missing(seam, str(exc), exc.patcher)
        except SeamMissing as exc:
            _take_back(done)
            missing = Missing(seam, str(exc))
        except Exception as fault:  # noqa: BLE001 - a LiteLLM unlike any that is known: the rest goes on
            _take_back(done)
            missing = Missing(seam, f"it failed with {fault!r}")
        self._undo += done
        return missing


def _take_back(undo: list[Undo]) -> None:
    while undo:
        undo.pop()()


def lines(missing: Sequence[Missing]) -> list[str]:
    """Return one line for each reason, with the seams that it holds for and what is lost."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in missing:
        key = (one.reason, one.seam.expects, one.seam.lost)
        groups.setdefault(key, []).append(one.seam.name)
    return [
        f"{', '.join(names)}: {reason} (expected: {expects}); without it {lost}"
        for (reason, expects, lost), names in groups.items()
    ]
