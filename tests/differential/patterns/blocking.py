"""Applications that are not asynchronous themselves: each drives a loop from outside."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import signal
import threading
from collections.abc import Iterator
from typing import Any

import litellm

from litellm_cancel_otel._demo.fakes import aclose_litellm_clients

from ..application import App, named, take, text_of, whole
from ..pattern import pattern

ONLY_PLAIN: Any = ("asyncio",)


async def unwound() -> None:
    """Do what asyncio.run does last: whatever is left at a loop's close is lost by chance."""
    await aclose_litellm_clients()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    gc.collect()
    await asyncio.sleep(
        0
    )  # the loop makes a task of each generator's close that a collection asks for
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


@pattern(loops=ONLY_PLAIN)
def run_until_complete_for_each_chunk(app: App) -> None:
    """Scripts, notebooks and synchronous web frameworks ask for each chunk from outside the
    loop."""
    loop = asyncio.new_event_loop()
    stream = loop.run_until_complete(app.stream())
    while True:
        try:
            app.log(text_of(loop.run_until_complete(stream.__anext__())))
        except StopAsyncIteration:
            break
        except Exception as exc:
            app.caught(exc)
            break
    loop.run_until_complete(unwound())
    loop.close()


class LoopThread:
    """A loop that runs in a thread of its own, as many libraries keep one."""

    def __enter__(self) -> LoopThread:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def run(self, coro: Any) -> Any:
        """Run a coroutine there and return its result."""
        return asyncio.run_coroutine_threadsafe(coro, self.loop).result(10)

    def __exit__(self, *_: object) -> None:
        self.run(unwound())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pattern(loops=ONLY_PLAIN)
def threadsafe_for_each_chunk(app: App) -> None:
    """Gradio handlers and LangChain's synchronous bridges ask for each chunk by
    run_coroutine_threadsafe."""
    with LoopThread() as there:
        stream = there.run(app.stream())
        while True:
            try:
                app.log(text_of(there.run(stream.__anext__())))
            except StopAsyncIteration:
                break
            except Exception as exc:
                app.caught(exc)
                break


def _synchronous(app: App, there: LoopThread) -> Iterator[str]:
    """Yield the pieces of a stream that a thread's loop reads, as Streamlit's users write it."""
    pieces: queue.Queue[Any] = queue.Queue(1)
    stop = threading.Event()

    async def reading() -> None:
        try:
            async for chunk in await app.stream():
                if stop.is_set():
                    break
                if text := text_of(chunk):
                    while not stop.is_set():
                        try:
                            pieces.put_nowait(text)
                            break
                        except queue.Full:
                            await asyncio.sleep(0.001)
        finally:
            pieces.put(None) if not stop.is_set() else None

    future = asyncio.run_coroutine_threadsafe(reading(), there.loop)
    try:
        while (piece := pieces.get(timeout=10)) is not None:
            yield piece
    finally:
        stop.set()
        future.result(10)
        app.log("the reader has ended")


@pattern(loops=ONLY_PLAIN)
def streamlit_writes_a_stream(app: App) -> None:
    """Streamlit's st.write_stream takes a synchronous generator over a loop in a thread."""
    with LoopThread() as there:
        for piece in _synchronous(app, there):
            app.log(piece)


@pattern(loops=ONLY_PLAIN)
def streamlit_reruns_in_the_middle(app: App) -> None:
    """Streamlit throws the running script away when the user clicks: its generator is closed."""
    with LoopThread() as there:
        app.script(chunks=None, interval=0.001)
        pieces = _synchronous(app, there)
        app.log(next(pieces), next(pieces))
        pieces.close()
        app.script()
        app.log("rerun", list(_synchronous(app, there)))


@pattern(loops=ONLY_PLAIN)
def a_future_of_another_thread_is_cancelled(app: App) -> None:
    """A user interface's stop button cancels the future of run_coroutine_threadsafe."""

    async def reading(started: threading.Event) -> None:
        try:
            async for chunk in await app.stream():
                app.log(text_of(chunk))
                if text_of(chunk):
                    started.set()
        except BaseException as exc:
            app.caught(exc)
            raise
        finally:
            app.log("finally")
            ended.set()

    with LoopThread() as there:
        app.script(chunks=5, hang_at=1)
        started, ended = threading.Event(), threading.Event()
        future = asyncio.run_coroutine_threadsafe(reading(started), there.loop)
        app.log(started.wait(10))
        app.log(future.cancel(), ended.wait(10))
        app.script()
        app.log(there.run(_answer(app)))


async def _answer(app: App) -> str:
    return await whole(await app.stream())


@pattern(loops=ONLY_PLAIN)
def asyncio_run_for_each_job(app: App) -> None:
    """Celery, RQ and Dramatiq workers run each job in an asyncio.run of its own."""

    async def job(number: int) -> None:
        stream = await app.stream()
        async for chunk in stream:
            app.log(number, text_of(chunk))
            if number == 1:
                break
        await aclose_litellm_clients()

    for number in range(3):
        asyncio.run(job(number))


@pattern(loops=ONLY_PLAIN)
def a_worker_keeps_a_loop_for_its_life(app: App) -> None:
    """Celery workers that keep one loop call run_until_complete for each task, some of which fail
    or run out of time."""
    loop = asyncio.new_event_loop()

    async def task(kind: str) -> str:
        async with asyncio.timeout(None) as deadline:
            stream = await app.stream()
            (first,) = await take(stream, 1)
            if kind == "fails":
                raise ValueError(first)
            if kind == "late":
                deadline.reschedule(0)
            return first + await whole(stream)

    for kind, hang_at in (("good", None), ("fails", None), ("late", 1), ("good", None)):
        app.script(hang_at=hang_at)
        try:
            app.log(kind, loop.run_until_complete(task(kind)))
        except Exception as exc:
            app.caught(exc, kind)
    loop.run_until_complete(unwound())
    loop.close()


@pattern(loops=ONLY_PLAIN)
def control_c_while_a_stream_waits(app: App) -> None:
    """A script under asyncio.run is stopped by Ctrl-C in the middle of an answer."""

    async def main() -> None:
        app.script(hang_at=1)
        try:
            async for chunk in await app.stream():
                app.log(text_of(chunk))
                if text_of(chunk):
                    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
        except BaseException as exc:
            app.caught(exc)
            raise
        finally:
            app.log("finally")
            await asyncio.sleep(0)
            app.log("saved")
            await aclose_litellm_clients()

    try:
        asyncio.run(main())
    except BaseException as exc:
        app.caught(exc, "main:")


@pattern(loops=ONLY_PLAIN)
def a_notebook_cell_is_interrupted(app: App) -> None:
    """A notebook keeps its loop: a cell is interrupted, and the next cell uses the same stream."""
    loop = asyncio.new_event_loop()
    app.script(hang_at=1)

    async def cell() -> None:
        app.log(await take(stream, 1))
        loop.call_soon(signal.raise_signal, signal.SIGINT)
        app.log(text_of(await anext(stream)))

    stream = loop.run_until_complete(app.stream())
    exchange = app.provider.next_exchange()
    first = loop.create_task(cell())
    try:
        loop.run_until_complete(first)
    except BaseException as exc:
        app.caught(exc)
    app.log("done", first.done())
    first.cancel()
    loop.run_until_complete(asyncio.wait([first]))
    app.log("cancelled", first.cancelled())
    app.provider.release(exchange)
    try:
        app.log(loop.run_until_complete(whole(stream)))
    except BaseException as exc:
        app.log(named(exc))
    loop.run_until_complete(unwound())
    loop.close()


@pattern(loops=ONLY_PLAIN)
def synchronous_calls_beside_a_stream(app: App) -> None:
    """A framework migrated by halves calls litellm.completion in threads while a loop streams."""

    async def main() -> None:
        stream = await app.stream()
        for _ in range(2):
            app.log(text_of(await anext(stream)))
            answer: Any = await asyncio.to_thread(litellm.completion, **app.kwargs())
            app.log(answer.choices[0].message.content)
            app.log(await asyncio.to_thread(_all_at_once))
        app.log(await whole(stream))
        await aclose_litellm_clients()

    def _all_at_once() -> str:
        chunks: Any = litellm.completion(**app.kwargs(stream=True))
        return "".join(text_of(chunk) for chunk in chunks)

    asyncio.run(main())


@pattern(loops=ONLY_PLAIN)
def a_loop_for_each_thread(app: App) -> None:
    """Flask and Django under threads give each request a loop, and several requests run at
    once."""

    def request(number: int) -> None:
        async def view() -> None:
            app.log(await whole(await app.stream()), book=f"request {number}")
            await aclose_litellm_clients()

        try:
            asyncio.run(view())
        except BaseException as exc:
            app.caught(exc, book=f"request {number}")

    threads = [threading.Thread(target=request, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
        thread.join()  # LiteLLM keeps its clients by the loop's id, which another may have again


@pattern(loops=ONLY_PLAIN)
def workers_that_are_forked(app: App) -> None:
    """Celery's prefork pool and gunicorn --preload set everything up, fork, and make their calls in
    the child."""

    async def job() -> str:
        answer = await whole(await app.stream())
        await aclose_litellm_clients()
        return answer

    for number in range(2):
        pid = os.fork()
        if not pid:
            said = "failed"
            try:
                said = asyncio.run(job())
            except BaseException as exc:
                said = named(exc)
            finally:
                (app.folder / f"worker {number}").write_text(said)
                os._exit(0)
        app.log(os.waitpid(pid, 0)[1])
    app.log(asyncio.run(job()))
