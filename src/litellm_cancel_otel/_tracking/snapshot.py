"""The streams that are open at this moment, as records; it may be asked from any thread."""

from .._calls.call import Call
from .._contract.records import Phase, StreamState
from .tracker import Tracker
from .watch import Watch, open_streams, where


def snapshot(tracker: Tracker, now: float, chains: bool = False) -> list[StreamState]:
    """Return every open stream; with ``chains``, what those wait for that are stuck."""
    calls = open_streams(tracker.streams)
    return [_state(call, now, chains) for call in calls if not call.ended]


def _state(call: Call, now: float, chains: bool) -> StreamState:
    facts = call.describe(call)
    watch = call.watch
    stuck = watch.stuck if isinstance(watch, Watch) else None
    return StreamState(
        key=id(call),
        provider=facts.provider,
        model=facts.model,
        operation=facts.operation,
        phase=_phase(call),
        chunks=call.chunks,
        age=now - call.start,
        since_chunk=_since(call.last_chunk, now),
        since_disconnect=_since(call.disconnect, now),
        since_driver_done=_since(call.driver_done_at, now),
        call_id=facts.call_id,
        stuck=None if stuck is None else stuck.reason,
        stuck_for=0.0 if stuck is None else now - stuck.found,
        chain=where(call) if chains and stuck is not None else (),
    )


def _phase(call: Call) -> Phase:
    if call.closing_since is not None:
        return Phase.CLOSING
    return Phase.STREAMING if call.chunks else Phase.REQUEST


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else now - moment
