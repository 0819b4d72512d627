"""What a side tells of thirteen endings of a call."""

import asyncio
import gc
import socket
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

import uvicorn
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from litellm_cancel_otel._demo import webapp
from litellm_cancel_otel._demo.fakes import ThreadedFakeProvider, aclose_litellm_clients
from litellm_cancel_otel._demo.site import Site
from litellm_cancel_otel._demo.ways import MID_STREAM, WAYS

from .heard import Heard
from .sides import CLIENT_LEAVES, ENDINGS
from .turning_on import Wrap

WINDOW = 1.0
"""Seconds in which a side may tell of an ending."""
PATIENCE = 30.0
SUCCESS = "success"
NOTHING = "nothing"
NEVER_ENDED = "never ended"


async def told(heard: Heard, wrap: Wrap, names: Sequence[str] = ()) -> dict[str, str]:
    """Play these endings, by default all, and return what was told of each."""
    heard.listens = True
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    found = {}
    with ThreadedFakeProvider() as fake:
        for name in names or ENDINGS:
            before = heard.count_open()
            heard.take()
            heard.counted()
            if name == CLIENT_LEAVES:
                await _client_leaves(fake, wrap)
            else:
                await _played(name, fake)
            await _settled(heard)
            words = heard.take()
            if heard.count_open() > before:
                words.append(NEVER_ENDED)
            found[name] = summed_up(words) or heard.counted() or NOTHING
        await aclose_litellm_clients()
    return found


def summed_up(words: Sequence[str]) -> str:
    """Return what several spans of one call say together: an error of one is the call's."""
    others = [word for word in words if word != SUCCESS]
    return " + ".join(dict.fromkeys(others or words))


async def _played(name: str, fake: ThreadedFakeProvider) -> None:
    way = WAYS[name]
    fake.provider.script = way.script
    site = Site("azure", fake, str(uuid4()))
    task = asyncio.create_task(way.play(site))
    await asyncio.wait({task}, timeout=PATIENCE)
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
    await site.aclose()


async def _settled(heard: Heard) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(GLOBAL_LOGGING_WORKER.flush(), WINDOW)
    await asyncio.sleep(WINDOW)
    gc.collect()
    await asyncio.sleep(0.1)


async def _client_leaves(fake: ThreadedFakeProvider, wrap: Wrap) -> None:
    """Have a client of a real uvicorn read a piece and go away while the provider is silent."""
    fake.provider.script = MID_STREAM
    seen = len(fake.provider.exchanges)
    app = wrap(webapp.application(package=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        asked = f"run={uuid4()}&base_url={fake.base_url}&size=10"
        writer.write(f"GET /bare/answer?{asked} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        await asyncio.wait_for(reader.readuntil(b"piece"), PATIENCE)
        exchange = fake.provider.exchanges[seen]
        await asyncio.to_thread(fake.run, exchange.wait_hanging())
        writer.close()
        await asyncio.sleep(WINDOW)
        server.should_exit = True
        await serving
