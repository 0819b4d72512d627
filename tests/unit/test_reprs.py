"""What a person meets in a debugger says what it is, and nothing of an answer."""

from litellm_cancel_otel._calls.description import Known
from litellm_cancel_otel._calls.driving import Driving
from litellm_cancel_otel._calls.progress import Progress
from litellm_cancel_otel._calls.request import Request
from litellm_cancel_otel._calls.signs import Signs
from litellm_cancel_otel._calls.upstream import Upstream
from litellm_cancel_otel._contract.records import Exit, Signal
from support.telemetry import Telemetry
from support.ticking import FACTS


async def test_of_a_call_and_its_stream(telemetry: Telemetry) -> None:
    call = telemetry.tracker.begin(Known(FACTS))
    assert repr(call) == "<Call chat: requesting, 0 chunks>"
    call.opens()
    (stream,) = telemetry.tracker.streams.values()
    assert repr(call) == "<Call chat: streaming, 0 chunks>"
    assert repr(stream) == "<WatchedStream: open>"
    assert repr(telemetry.callback) == "<CancelTelemetry: 1 streams open, 0 seams missing>"
    call.end(Exit.RETURNED)
    assert repr(call) == "<Call : ended, 0 chunks>"
    assert repr(stream) == "<WatchedStream: ended>"


def test_of_the_parts() -> None:
    assert repr(Progress()) == "<Progress: 0 chunks, the last at None>"
    assert repr(Signs()) == "<Signs: none>"
    assert repr(Driving()) == "<Driving by None, baseline 0, done at None>"
    assert repr(Upstream("host", 443)) == "<Upstream host:443, open>"
    request = Request(None, lambda: 0.0)
    assert repr(request) == "<Request: runs, response none, client there, 0 calls>"
    request.disconnected(Signal.ASGI_RECEIVE)
    request.over()
    assert repr(request) == "<Request: returned, response none, client gone, 0 calls>"
