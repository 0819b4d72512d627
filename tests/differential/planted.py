"""Applications that differ on purpose, one for each thing that is compared: the suite's own test.

They ask whether the package is there, which no pattern may.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import warnings
from typing import Any

from .application import App, take
from .pattern import pattern

PLAIN: Any = {"transports": ("aiohttp",), "loops": ("asyncio",)}
_KEPT: list[Any] = []


@pattern(**PLAIN)
async def planted_nothing(app: App) -> None:
    """Nothing differs."""
    app.log((await app.chat()).choices[0].message.content)


@pattern(**PLAIN)
async def planted_value(app: App) -> None:
    """A line of the log differs."""
    app.log("before")
    app.log("package" if app.package else "none")


@pattern(**PLAIN)
async def planted_missing_line(app: App) -> None:
    """A line of the log is missing."""
    app.log("before")
    if not app.package:
        app.log("committed")


@pattern(**PLAIN)
async def planted_exception(app: App) -> None:
    """The application ends by an exception."""
    if app.package:
        raise ValueError("a fault")


@pattern(**PLAIN)
async def planted_cancel(app: App) -> None:
    """The application ends by a cancel that nobody asked for."""
    if app.package:
        raise asyncio.CancelledError


@pattern(**PLAIN)
async def planted_file(app: App) -> None:
    """A file differs."""
    (app.folder / "answer").write_text("half" if app.package else "whole")


@pattern(**PLAIN)
async def planted_task(app: App) -> None:
    """A task is left."""
    if app.package:
        _KEPT.append(asyncio.create_task(asyncio.Event().wait()))


@pattern(**PLAIN)
async def planted_stream(app: App) -> None:
    """A stream is kept alive."""
    stream = await app.stream()
    if app.package:
        _KEPT.append(stream)


@pattern(**PLAIN)
async def planted_exchange(app: App) -> None:
    """A provider's answer stays open."""
    if app.package:
        app.script(hang_at=1)
        _KEPT.append(await app.stream())
        await take(_KEPT[-1], 1)


@pattern(**PLAIN)
async def planted_warning(app: App) -> None:
    """A warning is given."""
    if app.package:
        warnings.warn("a new warning", ResourceWarning, stacklevel=1)


@pattern(**PLAIN)
async def planted_log_line(app: App) -> None:
    """A logger complains."""
    if app.package:
        logging.getLogger("some.library").warning("a new complaint")


@pattern(**PLAIN)
async def planted_unraisable(app: App) -> None:
    """An exception is raised where nobody can catch it."""

    class Bad:
        def __del__(self) -> None:
            raise ValueError("in a destructor")

    if app.package:
        Bad()
        gc.collect()


@pattern(**PLAIN)
async def planted_unretrieved(app: App) -> None:
    """A task's exception is looked at by nobody."""

    async def fails() -> None:
        raise ValueError("looked at by nobody")

    if app.package:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        del task


@pattern(**PLAIN)
async def planted_hang(app: App) -> None:
    """The application hangs."""
    if app.package:
        await asyncio.Event().wait()


@pattern(**PLAIN)
def planted_death(app: App) -> None:
    """The process dies."""
    if app.package:
        os.abort()
