"""The package's log, which raises nothing: its handlers are the application's."""

import logging
from contextlib import suppress
from typing import Final

log: Final = logging.getLogger("litellm_cancel_otel")


def warn(message: str, *values: object) -> None:
    """Log a warning; where a handler raises, nobody is left to tell."""
    with suppress(Exception):
        log.warning(message, *values)
