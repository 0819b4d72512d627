"""Our own faults: each is counted, the first of each place is logged, none gets out."""

import logging
import traceback
from collections import Counter

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
