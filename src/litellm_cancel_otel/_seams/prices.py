"""What a token of an answer costs, read from LiteLLM's own price table.

LiteLLM's own functions for this may print, log or ask a server about a model that the table does
not have. The table itself is a dict: to read it takes a microsecond, so no price is kept here,
and one that the application registers later counts from then on.
"""

from collections.abc import Mapping
from math import inf
from typing import Any, Final

import litellm

_PRICE: Final = "output_cost_per_token"
_FAMILIES: Final = ("bedrock", "vertex_ai", "fireworks_ai")
"""Providers that the table splits by kind of model, such as ``vertex_ai-language-models``."""


def output_price(model: str | None, provider: str, details: Mapping[str, Any]) -> float | None:
    """Return the USD that one output token of a call costs; None where LiteLLM does not know.

    ``details`` is what LiteLLM's logging object knows of the call. A price of the call's or its
    deployment's own comes first, then the table's for its ``base_model``, or else for its model.
    """
    told = [_mapping(details.get("litellm_params"))]
    for name in ("metadata", "litellm_metadata"):
        told.append(_mapping(_mapping(told[0].get(name)).get("model_info")))
    for one in told:
        if (price := _usd(one.get(_PRICE))) is not None:
            return price
    bases = (base for one in told if isinstance(base := one.get("base_model"), str))
    known_as = next(bases, model)
    return None if known_as is None else _listed(known_as, provider)


def _listed(model: str, provider: str) -> float | None:
    table = _mapping(getattr(litellm, "model_cost", None))
    for name in (f"{provider}/{model}", model):
        entry = _mapping(table.get(name))
        if entry and _is_of(entry.get("litellm_provider"), provider):
            return _usd(entry.get(_PRICE))
    return None


def _is_of(listed: object, provider: str) -> bool:
    """Return whether an entry of the table is about this provider's model, not a namesake."""
    if not isinstance(listed, str) or listed == provider:
        return True
    return any(listed.startswith(name) and provider.startswith(name) for name in _FAMILIES)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _usd(price: object) -> float | None:
    """Return a price as a number; None where it is none."""
    if not isinstance(price, int | float | str):
        return None
    try:
        usd = float(price)  # YAML reads 2e-6, which has no dot, as text
    except (ValueError, OverflowError):
        return None
    return usd if 0 <= usd < inf else None
