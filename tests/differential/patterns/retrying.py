"""LiteLLM's own retries, fallbacks and hooks, which an application has set up."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger

from ..application import App, chained, take, text_of, whole
from ..pattern import pattern


def router(app: App, *models: str, **settings: Any) -> Any:
    """Return a Router over deployments of the fake provider."""
    deployments = []
    for model in models:
        params = {key: value for key, value in app.kwargs(model=model).items() if key != "messages"}
        deployments.append({"model_name": model, "litellm_params": params})
    return litellm.Router(model_list=deployments, **settings)


ASKED: Any = [{"role": "user", "content": "hello"}]


@pattern()
async def a_fallback_answers(app: App) -> None:
    """A Router falls back to another deployment where the first one fails."""
    app.script("bad", status=500)
    routed = router(app, "bad", "good", fallbacks=[{"bad": ["good"]}], num_retries=0)
    answer = await routed.acompletion(model="bad", messages=ASKED)
    app.log(answer.model, answer.choices[0].message.content)
    stream = await routed.acompletion(model="bad", messages=ASKED, stream=True)
    app.log(type(stream).__name__, await whole(stream))
    try:
        await routed.acompletion(model="bad", messages=ASKED, fallbacks=[])
    except Exception as exc:
        app.log(type(exc).__name__, chained(exc))


@pattern()
async def a_fallback_in_the_middle_of_a_stream(app: App) -> None:
    """A deployment breaks off after some chunks, and the Router goes on with another."""
    app.script("bad", ending="rst", chunks=2)
    routed = router(app, "bad", "good", fallbacks=[{"bad": ["good"]}], num_retries=0)
    stream = await routed.acompletion(model="bad", messages=ASKED, stream=True)
    try:
        async for chunk in stream:
            app.log(text_of(chunk))
    except Exception as exc:
        app.log(type(exc).__name__)


@pattern()
async def a_routers_stream_is_cancelled(app: App) -> None:
    """A request through a Router is stopped by its user: no fallback may answer."""
    app.script("slow", hang_at=1)
    routed = router(app, "slow", "good", fallbacks=[{"slow": ["good"]}], num_retries=2)
    reached = asyncio.Event()

    async def ask() -> None:
        stream = await routed.acompletion(model="slow", messages=ASKED, stream=True)
        app.log(await take(stream, 1))
        reached.set()
        app.log(await whole(stream))

    task = asyncio.create_task(ask())
    await app.until(reached, "the first piece")
    await app.turns()
    task.cancel("by the user")
    await app.ended(task)
    app.script("slow", hang_at="before_headers")
    task = asyncio.create_task(routed.acompletion(model="slow", messages=ASKED))
    await app.exchange()
    await app.hanging()
    task.cancel("by the user")
    await app.ended(task)
    app.log(len(app.provider.provider.exchanges))


@pattern()
async def a_cancel_between_two_attempts(app: App) -> None:
    """A deadline passes while LiteLLM or its Router waits to try again."""
    app.script(status=500)
    for attempts in (_by_litellm(app), _by_router(app)):
        before = len(app.provider.provider.exchanges)
        task = asyncio.create_task(attempts)
        await app.exchange()
        await app.idle()
        await asyncio.sleep(0.1)  # it has got the answer, and sleeps: half a second at least
        task.cancel("late")
        try:
            await task
        except BaseException as exc:
            app.caught(exc, exc.args)
        app.log(len(app.provider.provider.exchanges) - before, task.cancelled())


async def _by_litellm(app: App) -> Any:
    return await litellm.acompletion(
        **{**app.kwargs(), "num_retries": 3, "retry_strategy": "exponential_backoff_retry"}
    )


async def _by_router(app: App) -> Any:
    routed = router(app, "bad", num_retries=3, retry_after=5)
    return await routed.acompletion(model="bad", messages=ASKED)


@pattern()
async def retries_that_succeed(app: App) -> None:
    """A provider is overloaded for a moment: LiteLLM's answer comes at the second attempt."""
    app.script(status=500)
    task = asyncio.create_task(litellm.acompletion(**{**app.kwargs(), "num_retries": 2}))
    await app.exchange()
    app.script()
    answer: Any = await task
    app.log(answer.choices[0].message.content, len(app.provider.provider.exchanges))


@pattern()
async def litellms_own_timeout(app: App) -> None:
    """timeout= and stream_timeout= of a call end it by LiteLLM's own error."""
    for script in ({"hang_at": "before_headers"}, {"hang_at": 1}):
        app.script(**script)
        try:
            stream = await app.stream(timeout=0.2)
            app.log(await whole(stream))
        except Exception as exc:
            app.log(type(exc).__name__, chained(exc))


class Hooks(CustomLogger):
    """An application's own callback: it writes down what it is told, and asks a judge."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app
        self._judging = False

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._app.log("success", kwargs["model"], kwargs.get("stream"), book="hooks")

    async def async_log_failure_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        exc = kwargs.get("exception")
        self._app.log("failure", kwargs["model"], type(exc).__name__, book="hooks")

    async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
        if not self._judging:
            self._judging = True
            judged = await self._app.chat(model="judge")
            self._app.log("judged", judged.choices[0].message.content, book="judge")
            self._judging = False
        return kwargs


async def _told(app: App, lines: int) -> None:
    """Wait until the hooks have been told so much: LiteLLM does that in a task of its own."""
    for _ in range(1_000):
        if len(app.books.get("hooks", ())) >= lines:
            break
        await asyncio.sleep(0.005)
    else:
        app.log("told too little")
    app.books.get("hooks", []).sort()


@pattern()
async def a_hook_asks_a_judge(app: App) -> None:
    """A guardrail, judge or semantic cache is a hook that calls a model during the outer call."""
    litellm.callbacks.append(Hooks(app))
    app.log((await app.chat()).choices[0].message.content)
    app.log(await whole(await app.stream()))
    app.script(status=400)
    try:
        await app.chat()
    except Exception as exc:
        app.caught(exc)
    await _told(app, 6)


@pattern()
async def callbacks_by_their_old_names(app: App) -> None:
    """Functions in success_callback and failure_callback are called as often as before."""

    async def success(kwargs: Any, *_: Any) -> None:
        app.log("success", kwargs["model"], book="hooks")

    async def failure(kwargs: Any, *_: Any) -> None:
        app.log("failure", kwargs["model"], book="hooks")

    litellm.success_callback = [success]
    litellm.failure_callback = [failure]
    app.log((await app.chat()).choices[0].message.content)
    app.log(await whole(await app.stream()))
    app.script(status=400)
    try:
        await app.chat()
    except Exception as exc:
        app.caught(exc)
    await _told(app, 3)


@pattern()
async def errors_of_every_status(app: App) -> None:
    """Applications branch on LiteLLM's exception types, statuses and attributes."""
    for status in (400, 401, 403, 404, 408, 422, 429, 500, 503):
        app.script(status=status)
        for stream in (False, True):
            try:
                await app.chat("azure" if stream else "openai", stream=stream)
            except Exception as exc:
                known: Any = exc
                app.caught(exc, known.status_code, known.llm_provider, known.model, chained(exc))
    for ending in ("fin", "rst", "half_chunk", "rubbish"):
        app.script(ending=ending)
        try:
            app.log(ending, await whole(await app.stream()))
        except Exception as exc:
            app.log(ending, type(exc).__name__, chained(exc))
