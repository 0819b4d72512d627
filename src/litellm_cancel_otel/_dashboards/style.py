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
    Source.DEADLINE: "#12B5CB",
    Source.TASK_CANCEL: "#A8C7FA",
    Source.ACLOSE: "#7C93A8",
    Source.ABANDONED: "#8A5CF5",
    Source.SHUTDOWN: "#1E3A8A",
    Source.PROVIDER: ORANGE,
}
"""All of the caller's side are blues."""

PHASES: Final[Mapping[str, str]] = {
    Phase.REQUEST: "#F9A07C",
    Phase.BACKOFF: "#FFD9A8",
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
    Action.CHECKPOINT: "#EBDCF9",
}
"""All that the guard did is purple."""

QUANTILES: Final[Mapping[str, str]] = {"p50": "#9AA5AE", "p95": "#2E7FB8", "p99": "#25D0C8"}

PROVIDERS: Final[Mapping[str, str]] = {
    "azure.ai.openai": "#0E9F8E",
    "openai": "#C2417C",
    "aws.bedrock": "#8A6B2F",
    "anthropic": "#9DBB1A",
    "gcp.vertex_ai": "#2F7A3D",
    "gcp.gemini": "#F0A3C4",
    "mistral_ai": "#5F6B2D",
}
"""Every other provider gets the colour that Grafana derives from its name, the same in all."""

SECONDS: Final = "s"
DECADES: Final = "si:s"
"""Seconds on a logarithmic axis: its ticks are 1 ms, 10 s, 100 s, where ``s`` has "1.67 mins"."""
AGE: Final = "suffix: s"
"""Seconds on an axis from zero: ticks of 50 s, 100 s, 150 s."""
PERCENT: Final = "percentunit"
COUNT: Final = "short"
A_SECOND: Final = "suffix:/s"

FINALLY_OBJECTIVE: Final = 0.05
"""Of 100 cancelled calls, 99 run their finally within this time of the disconnect."""

UPSTREAM_OBJECTIVE: Final = 0.1
"""Of 100 cancelled calls, 99 have the provider's response closed within this time."""
