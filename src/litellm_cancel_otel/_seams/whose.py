"""Whose function stands at a public name of LiteLLM's, and where LiteLLM's own is behind it.

Other instrumentations put theirs in its place: functions that wrap it, ``wrapt``'s proxies, bound
methods of an object that keeps LiteLLM's own in an attribute. The function object that LiteLLM
has defined is what must be watched, whoever stands before it.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from inspect import iscoroutinefunction
from types import FunctionType, MethodType
from typing import Any, Final, NamedTuple, TypeGuard

LITELLM: Final = "litellm"

_AT_MOST: Final = 500
"""How many objects behind a public name are looked at."""


class Found(NamedTuple):
    """What stands at a public name."""

    own: FunctionType | None
    """LiteLLM's own function, or None where there is none."""
    patcher: str | None
    """The module of what stands before it, or None where nothing does."""
    leads: bool
    """Whether the public name is known to lead to LiteLLM's own function."""


def look(public: object, name: str) -> Found:
    """Find LiteLLM's own coroutine function behind what stands at its public name."""
    if is_litellms(public):
        return Found(public, None, True)
    behind = next((one for one in _behind(public) if _is_own(one, name)), None)
    own = behind if behind is not None else _defined(name)
    return Found(own, _module_of(public), behind is not None)


def is_litellms(one: object) -> TypeGuard[FunctionType]:
    """Return whether an object is a function whose code is LiteLLM's."""
    # By type and not isinstance: a proxy of wrapt's says that it is a function.
    return type(one) is FunctionType and _is_of_litellm(_module_of(one))


def _is_own(one: object, name: str) -> TypeGuard[FunctionType]:
    return is_litellms(one) and one.__name__ == name and iscoroutinefunction(one)


def _is_of_litellm(module: str) -> bool:
    return module.partition(".")[0] == LITELLM


def _module_of(one: Any) -> str:
    """Return where an object's code is from; ``functools.wraps`` copies ``__module__``."""
    if type(one) is MethodType:
        one = one.__func__
    if type(one) is partial:
        return _module_of(one.func)
    if type(one) is FunctionType:
        return str(one.__globals__.get("__name__"))
    # A proxy of wrapt's answers for what is behind it: its maker has made what it calls.
    wrapper = getattr(one, "_self_wrapper", None)
    return type(one).__module__ if wrapper is None else _module_of(wrapper)


def _defined(name: str) -> FunctionType | None:
    """Return LiteLLM's function of that name; of several that wrap each other, the outermost."""
    modules = [one for module, one in list(sys.modules.items()) if _is_of_litellm(module)]
    held = (getattr(one, "__dict__", {}).get(name) for one in modules)
    own = [one for one in held if _is_own(one, name)]
    inner = [getattr(one, "__wrapped__", None) for one in own]
    return next((one for one in own if one not in inner), None)


def _behind(public: object) -> Iterator[object]:
    """Yield what an object holds and may call, the nearest first."""
    seen = {id(public)}
    waiting = deque(_held(public))
    while waiting and len(seen) < _AT_MOST:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(_held(one))


def _held(one: Any) -> Iterable[object]:
    if type(one) is MethodType:
        return (*_values(_attributes(one.__self__)), one.__func__)
    if type(one) is partial:
        return (one.func, *one.args, *one.keywords.values())
    if type(one) is FunctionType:
        return _held_by_function(one)
    if isinstance(one, dict):
        return list(one.values())
    wrapped = getattr(one, "__wrapped__", None) if callable(one) else None
    return [] if wrapped is None else [wrapped, *_values(_attributes(one))]


def _held_by_function(function: FunctionType) -> Iterator[object]:
    yield from _values(vars(function))
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in function.__code__.co_names:
        if callable(found := function.__globals__.get(name)):
            yield found
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _attributes(one: object) -> dict[str, Any]:
    """Return an object's attributes and its class's, where openinference keeps what it replaces."""
    own = getattr(one, "__dict__", {})
    return {**vars(type(one)), **own}


def _values(attributes: Mapping[str, Any]) -> list[object]:
    return [found for found in attributes.values() if callable(found) or isinstance(found, dict)]
