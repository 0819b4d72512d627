"""What the answers cost that came for nobody, in dollars an hour."""

from typing import Final

from .._contract import semconv as sc
from . import shared
from .frame import CALLS, Row
from .panels import lines
from .parts import About, Line, Panel
from .promql import Source, equal

HOUR: Final = 3600
DOLLARS: Final = "currencyUSD"


def row() -> Row:
    """Return the row *Money*."""
    completed = CALLS.where(equal(sc.OUTCOME, "completed"))
    return Row(
        "Money for nobody",
        8,
        [
            (
                12,
                _dollars(
                    CALLS,
                    "All calls, dollars an hour",
                    "What the output tokens cost that came after the client had gone, by LiteLLM's "
                    "price of the model. It is the least that was lost: a call counts only where "
                    "LiteLLM knows its tokens and its price.",
                ),
            ),
            (
                12,
                _dollars(
                    completed,
                    "Answers completed for nobody, dollars an hour",
                    "The part of it for calls that ran to their end although the client had gone: "
                    "not streamed, or read on by the application or the Proxy. Cancel them on a "
                    "disconnect, unless the answer is of use later.",
                ),
            ),
        ],
    )


def _dollars(calls: Source, title: str, text: str) -> Panel:
    rate = calls.rate(sc.UNDELIVERED_COST, sc.PROVIDER)
    return lines(
        About(title, text, "money"),
        [Line(f"{rate} * {HOUR}", f"{{{{{shared.PROVIDER}}}}}")],
        DOLLARS,
        none="nothing lost, or no price known",
    )
