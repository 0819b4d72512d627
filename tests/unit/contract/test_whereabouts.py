"""Of a chain the application's frames come first, and the libraries are folded to their names."""

from itertools import count

from litellm_cancel_otel._contract.records import Place
from litellm_cancel_otel._contract.whereabouts import Whereabouts, shown, whereabouts

lines = count(1)


def library(file: str) -> Place:
    return Place(file, next(lines), "inner", library=True)


def own(file: str) -> Place:
    return Place(file, next(lines), "answer")


SERVER = [library("uvicorn/run.py"), library("starlette/app.py"), library("starlette/route.py")]
CLIENT = [library("litellm/x.py"), library("openai/y.py"), library("asyncio/streams.py")]


def test_application_first_and_innermost_first() -> None:
    outer, inner = own("app/routes.py"), own("app/answers.py")
    assert whereabouts([*SERVER, outer, inner, *CLIENT]) == Whereabouts(
        own=(inner, outer),
        within=("litellm", "openai", "asyncio"),
        innermost=CLIENT[-1],
        around=("uvicorn", "starlette"),
    )


def test_libraries_between_two_frames_of_the_application_are_left_out() -> None:
    outer, inner = own("app/routes.py"), own("app/answers.py")
    found = whereabouts([outer, library("tenacity/retry.py"), inner])
    assert found == Whereabouts((inner, outer), (), None, ())


def test_an_installed_application_is_who_calls_litellm() -> None:
    app = library("shop/app.py")
    found = whereabouts([*SERVER, app, *CLIENT])
    assert found.own == (app,)
    assert found.around == ("uvicorn", "starlette")


def test_without_anybody_who_calls_litellm_it_is_the_innermost() -> None:
    assert whereabouts(SERVER).own == (SERVER[-1],)
    assert whereabouts(CLIENT).own == (CLIENT[0],)


def test_nothing_is_known_of_nothing() -> None:
    assert whereabouts([]) == Whereabouts((), (), None, ())


def test_a_single_file_goes_by_its_name() -> None:
    assert whereabouts([own("main.py"), library("selectors.py")]).within == ("selectors",)


def test_a_frame_is_file_line_and_function() -> None:
    assert shown(Place("app/main.py", 32, "answer")) == "app/main.py:32 answer"
