"""Applications for `doctor --app`, as users write them: each fault has a route of its own."""

import os
from contextlib import asynccontextmanager

import litellm
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from litellm_cancel_otel import CancellationMiddleware, CancelTelemetry

MESSAGES = [{"role": "user", "content": "Tell me a very long story"}]


class Chat(BaseModel):
    text: str
    stream: bool = False


@asynccontextmanager
async def with_package(app):
    litellm.callbacks = [CancelTelemetry()]
    yield


@asynccontextmanager
async def failing(app):
    raise RuntimeError("no database")
    yield


async def passing(request: Request, call_next):
    return await call_next(request)


async def words(model="azure/gpt-4o", **more):
    stream = await litellm.acompletion(
        model=model,
        # Written into the code: it must not be asked.
        api_base="https://shop.openai.azure.com" if model.startswith("azure/") else None,
        api_key="not-to-be-sent",
        api_version="2024-10-21",
        messages=MESSAGES,
        stream=True,
        **more,
    )
    async for chunk in stream:
        yield chunk.choices[0].delta.content or ""


def with_middleware(count, lifespan=None):
    """Return an application with one good route and so many middlewares."""
    app = FastAPI(lifespan=lifespan)
    for _ in range(count):
        app.middleware("http")(passing)

    @app.post("/chat")
    async def chat(chat: Chat):
        if not chat.stream:
            return {"text": "whole"}
        return StreamingResponse(words())

    return app


bare = with_middleware(0)
wrapped = with_middleware(3)
cured = with_middleware(3, with_package)
cured.add_middleware(CancellationMiddleware)
unready = with_middleware(0, failing)
faulty = FastAPI()
synchronous = FastAPI()


@faulty.get("/secret")
async def secret():
    raise HTTPException(401)


@faulty.get("/broken")
async def broken():
    raise ValueError("the database\nis away")


@faulty.get("/whole")
async def whole():
    return {"text": "whole"}


@faulty.get("/clock")
async def clock():
    async def ticks():
        yield "tick"

    return StreamingResponse(ticks())


@faulty.get("/elsewhere")
async def elsewhere():
    return StreamingResponse(words("nlp_cloud/dolphin"))


@synchronous.get("/sync")
def sync():
    def read():
        for chunk in litellm.completion("openai/gpt-4o-mini", MESSAGES, stream=True):
            yield chunk.choices[0].delta.content or ""

    return StreamingResponse(read())


if os.environ.get("SHOP_IS_CLOSED"):
    raise ImportError("the shop\nis closed")
if os.environ.get("SHOP_LEAVES"):
    print("the shop leaves", flush=True)
    os._exit(3)
if pids := os.environ.get("SHOP_PIDS"):
    helper = os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ)
    with open(pids, "a") as file:
        file.write(f"{os.getpid()} {helper} ")
