"""No code at all beside FastAPI's and httpx's instrumentations: all three in one process."""

import os
import sys
from collections import Counter
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

from support import children
from support.otlp_sink import OtlpSink, ReceivedSpan

TESTS = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("opentelemetry-instrument")
WANTED = {"fastapi", "httpx", "litellm_cancel"}
OURS = "litellm_cancel_otel"

pytestmark = [
    pytest.mark.skipif(
        find_spec("openlit") is None, reason="the neighbours are in an environment of their own"
    ),
    pytest.mark.timeout(600),
]


@cache
def spans(middleware: str, without: str = "") -> list[ReceivedSpan]:
    """Return what the application's process sends; ``without`` is an instrumentation's name."""
    others = {one.name for one in entry_points(group="opentelemetry_instrumentor")} - WANTED
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with OtlpSink() as sink:
        ended = children.run(
            [COMMAND, sys.executable, "-W", "ignore", "-m", "neighbours.no_code"],
            cwd=TESTS,
            env={
                **inherited,
                **sink.env("http/protobuf"),
                "DISABLE_AIOHTTP_TRANSPORT": "True",
                "LITELLM_CANCEL_OTEL_MIDDLEWARE": middleware,
                "LITELLM_CANCEL_OTEL_SPANS": "all",
                "LITELLM_CANCEL_OTEL_TOP_SOCKET": "off",
                "OTEL_LOGS_EXPORTER": "none",
                "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join([*others, without]),
            },
            timeout=300,
        )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    return sink.spans


def theirs(sent: list[ReceivedSpan]) -> Counter[tuple[str, str, str]]:
    """Return the others' spans: whose each is, its name, and that of the span it stands in."""
    names = {span.span_id: span.name for span in sent}
    return Counter(
        (span.scope, span.name, names.get(span.parent_id, ""))
        for span in sent
        if span.scope != OURS
    )


@pytest.mark.parametrize(("middleware", "signal"), [("on", "asgi_receive"), ("off", "cancel")])
def test_each_call_is_seen_once_by_each_and_the_spans_nest(middleware: str, signal: str) -> None:
    sent = spans(middleware)

    served = {span.span_id: span.name for span in sent if not span.parent_id}
    assert sorted(served.values()) == ["GET /left", "GET /streamed", "GET /whole"]
    for scope in (OURS, "opentelemetry.instrumentation.httpx"):
        within = [served[span.parent_id] for span in sent if span.scope == scope]
        assert sorted(within) == sorted(served.values()), scope
    told = {
        served[span.parent_id]: span.attributes.get("litellm_cancel.signal")
        for span in sent
        if span.scope == OURS
    }
    assert told == {"GET /whole": None, "GET /streamed": None, "GET /left": signal}


@pytest.mark.parametrize("middleware", ["on", "off"])
def test_the_others_see_what_they_see_without_this_package(middleware: str) -> None:
    assert theirs(spans(middleware)) == theirs(spans("off", "litellm_cancel"))
