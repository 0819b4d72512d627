"""Whether the LiteLLM that is installed is one that this package works with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

OLDEST: Final = (1, 72, 2)


def unusable_litellm() -> str | None:
    """Return one line that says why LiteLLM cannot be used, and what to do; None where it can."""
    oldest = ".".join(map(str, OLDEST))
    advice = f"pip install 'litellm>={oldest}'"
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        return f"litellm is not installed: {advice}"
    known = tuple(int(part) for part in installed.split(".")[:3] if part.isdecimal())
    if len(known) == len(OLDEST) and known < OLDEST:
        return f"litellm {installed} is older than any that is supported: {advice}"
    return None
