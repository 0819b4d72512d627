"""Sees to it that a provider's response does not stay open behind a call that has ended."""

from .._asyncio.tasks import running_loop
from .._calls.call import Call
from .endings import CloseNote, EndingNote, GiveUpNote
from .guard import Guard
from .notes import Notes


def clean_up(
    call: Call, ending: EndingNote | None, notes: Notes, guard: Guard | None, wait: float
) -> None:
    """Have the call's response closed in its own loop, and the ending told when it is.

    The ending waits for the close for ``wait`` seconds; it is None where it could not be told.
    """
    upstream, loop = call.upstream, call.driving.loop
    if upstream is None or loop is None:
        return
    if ending is not None:
        notes.start()  # no stream may have had it started by now
        upstream.on_closed = lambda at: notes.leave(CloseNote(ending, at))

    def in_loop() -> None:
        if upstream.is_read():
            # A task of LiteLLM's own reads on: the proxy bills what was generated for nobody.
            upstream.on_closed = None
            if ending is not None:
                notes.put_off(GiveUpNote(ending))
            return
        if ending is not None:
            loop.call_later(wait, notes.put_off, GiveUpNote(ending))
        if guard is not None:
            guard.close_upstream(call, upstream)

    # A stream may be dropped in another thread, by the garbage collector.
    if running_loop() is loop:
        in_loop()
    elif not loop.is_closed():
        loop.call_soon_threadsafe(in_loop)
