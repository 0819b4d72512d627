"""Fake providers: real wire formats on loopback, with every byte, hang and close under control."""

from litellm_cancel_otel._demo.fakes.clients import aclose_litellm_clients
from litellm_cancel_otel._demo.fakes.exchange import ClosedBy, Exchange, How
from litellm_cancel_otel._demo.fakes.kwargs import PROVIDERS, litellm_kwargs
from litellm_cancel_otel._demo.fakes.script import Ending, HangAt, Script
from litellm_cancel_otel._demo.fakes.server import FakeProvider
from litellm_cancel_otel._demo.fakes.threaded import ThreadedFakeProvider
from litellm_cancel_otel._demo.fakes.wire.base import Call, Wire

__all__ = [
    "PROVIDERS",
    "Call",
    "ClosedBy",
    "Ending",
    "Exchange",
    "FakeProvider",
    "HangAt",
    "How",
    "Script",
    "ThreadedFakeProvider",
    "Wire",
    "aclose_litellm_clients",
    "litellm_kwargs",
]
