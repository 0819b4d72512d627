"""Puts a context variable back as it was, where that can be done."""

from contextvars import ContextVar, Token
from typing import TypeVar

T = TypeVar("T")


def put_back(variable: ContextVar[T], token: Token[T]) -> bool:
    """Put a variable back as it was; return False where the token is another's, or used."""
    try:
        variable.reset(token)
    except ValueError:  # the collector closes a coroutine in whatever context is running
        return False
    except RuntimeError:  # another thread has put it back meanwhile
        return False
    except LookupError:
        # Python 3.11 may run the collector inside of ContextVar.set, and a destructor (LiteLLM's
        # streams have one) may set a variable there: so a context can lose one.
        pass
    return True
