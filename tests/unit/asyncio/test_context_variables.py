"""A variable is put back where that can be done, and nothing is raised where it cannot."""

from contextvars import Context, ContextVar, Token
from typing import Any, cast

from litellm_cancel_otel._asyncio.context_variables import put_back

variable: ContextVar[int] = ContextVar("of_a_test", default=0)


def test_put_back() -> None:
    context = Context()
    token = context.run(variable.set, 1)

    assert context.run(put_back, variable, token)
    assert context.run(variable.get) == 0


def test_in_another_context() -> None:
    token = Context().run(variable.set, 1)
    running = Context()
    running.run(variable.set, 2)

    assert not running.run(put_back, variable, token)
    assert running.run(variable.get) == 2


def test_twice() -> None:
    context = Context()
    token = context.run(variable.set, 1)

    assert context.run(put_back, variable, token)
    assert not context.run(put_back, variable, token)


class Lost:
    """A variable that its context has lost: only a fault of Python 3.11's makes one."""

    def reset(self, _: object) -> None:
        raise LookupError(self)


def test_variable_that_the_context_has_lost() -> None:
    token = cast("Token[Any]", None)

    assert put_back(cast("ContextVar[Any]", Lost()), token)
