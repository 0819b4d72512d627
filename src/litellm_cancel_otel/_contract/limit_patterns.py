"""The patterns of ``stuck_limits``: which models one means, and which can mean none."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from .semconv import provider_name


def names_of(provider: str) -> tuple[str, str]:
    """Return what a provider is called: by LiteLLM, and in metrics, alerts and ``top``."""
    return provider, provider_name(provider)


def matches(pattern: str, provider: str, model: str) -> bool:
    """Return whether a pattern means this model; ``provider`` is LiteLLM's name of it."""
    of_provider, of_model = _parts(pattern)
    return _means(of_provider, provider) and fnmatchcase(model, of_model)


def idle(patterns: Iterable[str], providers: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the patterns that can match nothing, each with the reason.

    ``providers`` are those that LiteLLM knows. An earlier pattern that has every model of a later
    one leaves it none, for the first that matches holds.
    """
    known = frozenset(providers)
    words = sorted({name for provider in known for name in names_of(provider)})
    before: list[str] = []
    for pattern in patterns:
        of_provider, _ = _parts(pattern)
        mine = {one for one in known if _means(of_provider, one)}
        if not mine:
            import difflib  # seldom needed, and slow to load

            near = difflib.get_close_matches(of_provider, words, n=1)
            hint = f"; the nearest name is {near[0]}" if near else ""
            yield pattern, f"LiteLLM knows no provider {of_provider}{hint}"
        elif first := next((one for one in before if _covers(one, pattern, mine)), None):
            yield pattern, f"{first} stands before it and has all its models"
        before.append(pattern)


def _parts(pattern: str) -> tuple[str, str]:
    of_provider, _, of_model = pattern.partition("/")
    return of_provider, of_model or "*"


def _means(of_provider: str, provider: str) -> bool:
    return any(fnmatchcase(name, of_provider) for name in names_of(provider))


def _covers(earlier: str, later: str, mine: Iterable[str]) -> bool:
    of_provider, of_model = _parts(earlier)
    if set(of_model) & set("?["):  # what such a one has of another pattern is not to be told
        return False
    every = all(_means(of_provider, one) for one in mine)
    return every and fnmatchcase(_parts(later)[1], of_model)
