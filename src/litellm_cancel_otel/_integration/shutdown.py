"""A server's shutdown: what was recorded is exported before the server says that it has ended."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from .._calls.request import last_requests
from .._contract.faults import Faults


async def export_last(flush: Callable[[], object], faults: Faults) -> None:
    """Wait, not for long, for the last requests and export them; only a cancel gets out."""
    try:
        await last_requests()
        await _in_thread(flush, faults)
    except Exception as fault:  # noqa: BLE001 - ours: the host shuts down all the same
        faults.note("shutdown", fault)


async def _in_thread(flush: Callable[[], object], faults: Faults) -> None:
    """Run it in a thread of its own: the loop's may all be busy, or shut down already."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            flush()
        except Exception as fault:  # noqa: BLE001 - ours: the host shuts down all the same
            faults.note("shutdown", fault)
        finally:
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="litellm-cancel-otel-shutdown", daemon=True).start()
    await done.wait()
