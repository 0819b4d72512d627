"""Contains our own faults: each is counted, and the first at each place is logged."""

import logging
import traceback
from collections import Counter
from types import TracebackType

log = logging.getLogger("litellm_cancel_otel")


class Faults:
    """Counts what went wrong in this package, by the place where it did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, place: str, exc: BaseException) -> None:
        """Count a fault and log the first one of its place; never raises."""
        try:
            first = not self.counts[place]
            self.counts[place] += 1
            if first:
                # Not exc_info: the message, and the exceptions in its chain, may quote an answer.
                log.warning(
                    "a fault in %s was contained (%s); the call it watched is unharmed, its "
                    "telemetry may be incomplete. Further faults there are only counted.\n%s",
                    place,
                    type(exc).__name__,
                    "".join(traceback.format_tb(exc.__traceback__)).rstrip(),
                )
        except Exception:  # noqa: BLE001 - a logging handler of the host's may raise: nobody is left to tell
            pass

    def contained(self, place: str) -> "Contained":
        """Return a context manager that notes an exception and ends it; it can be used again.

        What the application gave us is called in one: its tracer, its meter, its log handlers.
        """
        return Contained(self, place)


class Contained:
    """Ends an exception where it was raised; a cancel, or an exit of the process, passes."""

    __slots__ = ("_faults", "_place")

    def __init__(self, faults: Faults, place: str) -> None:
        self._faults = faults
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        self._faults.note(self._place, exc)
        return True
