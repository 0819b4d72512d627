"""What the user writes of a route, and what is made of an OpenAPI document that says more."""

import json

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from litellm_cancel_otel._appcheck.layout import describe
from litellm_cancel_otel._appcheck.problem import Problem
from litellm_cancel_otel._appcheck.request import headers_of, request_of


@pytest.mark.parametrize(
    ("route", "body", "method"),
    [
        ("POST /chat", None, "POST"),
        ("get /chat", None, "GET"),
        ("/a", None, "GET"),
        ("/a", "{}", "POST"),
    ],
)
def test_a_route_has_a_method_or_the_usual_one(route: str, body: str | None, method: str) -> None:
    assert request_of(route, body).method == method


@pytest.mark.parametrize("route", ["chat", "POST chat", "", "POST /chät", "P-T /chat"])
def test_a_route_that_is_none_is_refused_with_an_example(route: str) -> None:
    with pytest.raises(Problem, match="is no route"):
        request_of(route)


def test_a_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(Problem, match="the body for POST /chat is no JSON"):
        request_of("POST /chat", "{")


def test_a_header_is_split_at_its_first_colon() -> None:
    assert headers_of(["Authorization: Bearer a:b"]) == (("Authorization", "Bearer a:b"),)


@pytest.mark.parametrize("line", ["Authorization", ": x", "a: b\r\nc: d", "a: ü"])
def test_a_header_that_is_none_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(Problem) as refused:
        headers_of([line])
    assert str(refused.value) == "a header is written as 'Name: value'"


class Part(BaseModel):
    text: str = Field(min_length=30)


class Message(BaseModel):
    role: str
    content: list[Part]


class Chat(BaseModel):
    messages: list[Message]
    limit: int = Field(ge=7)
    model: str = Field(examples=["gpt-4o"])
    tone: str = "kind"
    stream: bool = False


def test_an_openapi_document_gives_requests_that_fastapi_takes() -> None:
    app = FastAPI()

    @app.post("/chat/{room}")
    async def chat(chat: Chat, room: int, key: str, stream: bool = False) -> None: ...

    @app.delete("/chat")
    async def delete() -> None: ...

    (route,) = describe(app)["routes"]
    assert (route["method"], route["target"]) == (
        "POST",
        "/chat/1?key=Say+something+long.&stream=true",
    )
    sent = json.loads(route["body"])
    assert Chat.model_validate(sent).stream
    assert sent.keys() == {"messages", "limit", "model", "stream"}
    assert sent["model"] == "gpt-4o"
    assert sent["messages"][0]["role"] == "user"


class Tree(BaseModel):
    children: list["Tree"]


def test_a_schema_that_refers_to_itself_has_an_end() -> None:
    app = FastAPI()

    @app.post("/tree")
    async def tree(tree: Tree) -> None: ...

    (route,) = describe(app)["routes"]
    Tree.model_validate_json(route["body"])
