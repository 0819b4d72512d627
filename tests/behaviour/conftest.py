"""What tests of a call's way have in common."""

import asyncio

import pytest

from support.between_attempts import Sleeps


@pytest.fixture
async def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """What LiteLLM's sleeps go through: they are as long as they were."""
    watched = Sleeps(asyncio.sleep)
    monkeypatch.setattr(asyncio, "sleep", watched)
    return watched
