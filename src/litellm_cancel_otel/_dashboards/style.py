"""One meaning a colour in all panels, and the units and objectives that they share."""

from collections.abc import Mapping
from typing import Final

from .._contract.records import Action, Outcome, Phase, Reason, Source
from .._contract.semconv import EXTERNAL

BLUE: Final = "#3D71D9"
ORANGE: Final = "#F2622E"
GREY: Final = "#8E95A0"
AMBER: Final = "#E0A50D"
PURPLE: Final = "#9B5DD4"
GREEN: Final = "#3FA34D"
RED: Final = "#E02F44"
NEUTRAL: Final = "#5B8FA8"
FAINT: Final = "#7D848E"

INTERNAL: Final = "internal"

CALLS: Final[Mapping[str, str]] = {
    EXTERNAL: BLUE,
    INTERNAL: ORANGE,
    Outcome.COMPLETED: GREY,
    Outcome.ERROR: AMBER,
    Outcome.CANCELLED: BLUE,
}
"""What became of a call: blue where somebody wanted it to end, orange where nobody did."""

SOURCES: Final[Mapping[str, str]] = {
    Source.CLIENT_DISCONNECT: BLUE,
    Source.DEADLINE: "#1F9BCF",
    Source.TASK_CANCEL: "#8AB8FF",
    Source.ACLOSE: "#5794F2",
    Source.ABANDONED: "#6C63C7",
    Source.SHUTDOWN: "#2F4B8F",
    Source.PROVIDER: ORANGE,
}
"""All of the caller's side are blues."""

PHASES: Final[Mapping[str, str]] = {
    Phase.REQUEST: "#F9A07C",
    Phase.BACKOFF: "#FFCB9A",
    Phase.STREAMING: ORANGE,
    Phase.CLOSING: "#A63A12",
}

REASONS: Final[Mapping[str, str]] = {
    Reason.AFTER_DISCONNECT: RED,
    Reason.ORPHANED: "#B5179E",
    Reason.NO_CHUNK: AMBER,
}

ACTIONS: Final[Mapping[str, str]] = {
    Action.CLOSED_ON_DISCONNECT: PURPLE,
    Action.CLOSED_ORPHAN: "#5B259B",
    Action.CLOSED_UPSTREAM: "#C78BE8",
    Action.CHECKPOINT: "#E0CDF5",
}
"""All that the guard did is purple."""

QUANTILES: Final[Mapping[str, str]] = {"p50": "#6F8790", "p95": "#3B9AB8", "p99": "#17BECF"}

PROVIDERS: Final[Mapping[str, str]] = {
    "azure.ai.openai": "#0E9F8E",
    "openai": "#C2417C",
    "aws.bedrock": "#8A6B2F",
    "anthropic": "#7A9A01",
    "gcp.vertex_ai": "#4E8F3A",
    "gcp.gemini": "#D77FA1",
    "mistral_ai": "#5F6B2D",
}
"""Every other provider gets the colour that Grafana derives from its name, the same in all."""

SECONDS: Final = "s"
PERCENT: Final = "percentunit"
COUNT: Final = "short"
A_SECOND: Final = "suffix:/s"

FINALLY_OBJECTIVE: Final = 0.05
"""Of 100 cancelled calls, 99 run their finally within this time of the disconnect."""

UPSTREAM_OBJECTIVE: Final = 0.1
"""Of 100 cancelled calls, 99 have the provider's response closed within this time."""
