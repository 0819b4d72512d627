"""The streams that are open at this moment, as records; it may be asked from any thread."""

from .._calls.call import Call
from .._calls.state import State
from .._contract.records import Phase, StreamState
from .._contract.semconv import provider_name
from .tracker import Tracker
from .watched_stream import WatchedStream, streams_of


def snapshot(tracker: Tracker, now: float, chains: bool = False) -> list[StreamState]:
    """Return every open stream; with ``chains``, what those wait for that are stuck."""
    streams = streams_of(tracker.streams)
    return [_state(call, stream, now, chains) for call, stream in streams if not call.ended]


def _state(call: Call, stream: WatchedStream, now: float, chains: bool) -> StreamState:
    facts, progress, disconnect = call.facts(), call.progress, call.signs.disconnect
    stuck = stream.stuck
    return StreamState(
        key=id(call),
        provider=provider_name(facts.provider),
        model=facts.model,
        operation=facts.operation,
        phase=_phase(call),
        chunks=progress.chunks,
        age=now - call.start,
        since_chunk=_since(progress.last_chunk, now),
        since_disconnect=_since(None if disconnect is None else disconnect.at, now),
        since_driver_done=_since(call.driving.done_at, now),
        call_id=facts.call_id,
        stuck=None if stuck is None else stuck.reason,
        stuck_for=0.0 if stuck is None else now - stuck.found,
        chain=stream.where() if chains and stuck is not None else (),
    )


def _phase(call: Call) -> Phase:
    if call.state is State.CLOSING:
        return Phase.CLOSING
    return Phase.STREAMING if call.progress.chunks else Phase.REQUEST


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else now - moment
