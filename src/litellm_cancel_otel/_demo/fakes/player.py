"""Plays a script: sends the answer, hangs and breaks off where the script says so."""

from __future__ import annotations

import asyncio

from litellm_cancel_otel._demo.fakes.exchange import Exchange
from litellm_cancel_otel._demo.fakes.http import Connection
from litellm_cancel_otel._demo.fakes.wire import routes
from litellm_cancel_otel._demo.fakes.wire.base import Body, Stream

_RUBBISH_BODY = b"\xff{rubbish"


async def play(exchange: Exchange, connection: Connection) -> None:
    """Answer the exchange's request, to the end; ConnectionError if the client goes before."""
    script = exchange.script
    if script.status != 200:
        answer: Body | Stream | None = routes.error(exchange.call, script.status)
    else:
        answer = routes.answer(exchange.call, script.pieces)
    if answer is None:
        raise LookupError(f"nobody answers {exchange.call}")
    if script.hang_at == "before_headers":
        await exchange.hang()
    if isinstance(answer, Stream):
        await _play_stream(answer, exchange, connection)
    else:
        await _play_body(answer, exchange, connection)
    exchange.over(script.ending)


async def _play_stream(stream: Stream, exchange: Exchange, connection: Connection) -> None:
    script = exchange.script
    await connection.start(200, [("content-type", stream.content_type), *stream.headers])
    if script.hang_at == "before_first_chunk":
        await exchange.hang()
    await _play_chunks(stream, exchange, connection)
    sent = exchange.chunks_sent
    match script.ending:
        case "complete":
            await connection.send(stream.closing(sent))
            await connection.finish()
        case "half_chunk":
            event = stream.chunk(sent)
            await connection.send(event[: len(event) // 2])
            await _break_off(exchange, connection)
        case "rubbish":
            await connection.send(stream.rubbish)
            await connection.finish()
        case _:
            await _break_off(exchange, connection)


async def _play_chunks(stream: Stream, exchange: Exchange, connection: Connection) -> None:
    script = exchange.script
    pending = stream.opening
    while True:
        sent = exchange.chunks_sent
        if script.hang_at == sent and isinstance(script.hang_at, int):
            if pending:
                await connection.send(pending)
                pending = b""
            await exchange.hang()
        if sent == script.chunks:
            break
        if sent:
            # Without an interval too: an endless stream must not keep the loop to itself.
            await asyncio.sleep(script.interval)
        count = _burst_size(exchange) if script.burst else 1
        await connection.send(
            pending + b"".join(stream.chunk(index) for index in range(sent, sent + count))
        )
        pending = b""
        exchange.sent(count)
    if pending:
        await connection.send(pending)


def _burst_size(exchange: Exchange) -> int:
    """How many chunks to write at once: up to the hang if it is ahead, else all that are left."""
    script, sent = exchange.script, exchange.chunks_sent
    stop = script.pieces
    if isinstance(script.hang_at, int) and sent < script.hang_at:
        stop = script.hang_at
    return stop - sent


async def _play_body(body: Body, exchange: Exchange, connection: Connection) -> None:
    script = exchange.script
    content = _RUBBISH_BODY if script.ending == "rubbish" else body.content
    half = len(content) // 2
    headers = [("content-type", body.content_type), *body.headers]
    await connection.start(script.status, headers, length=len(content))
    if script.hang_at == "before_first_chunk":
        await exchange.hang()
    await connection.send(content[:half])
    if isinstance(script.hang_at, int):
        await exchange.hang()
    if script.ending not in ("complete", "rubbish"):
        await _break_off(exchange, connection)
        return
    await connection.send(content[half:])
    await connection.finish()
    exchange.sent(1)


async def _break_off(exchange: Exchange, connection: Connection) -> None:
    # Noted before: our own close looks like the client's to whoever watches for the client.
    exchange.over(exchange.script.ending)
    if exchange.script.ending == "rst":
        connection.reset()
    else:
        await connection.close()
