"""The states that a call goes through, one at a time."""

from enum import Enum, auto


class State(Enum):
    """Where a call is."""

    REQUESTING = auto()
    """It has not yet returned its result or stream."""
    FAILING = auto()
    """LiteLLM's own call has raised, and LiteLLM is about what it does then."""
    STREAMING = auto()
    """It has returned a stream."""
    CLOSING = auto()
    """Its consumer closes the stream, or has thrown something into it."""
    ENDED = auto()
