"""The fake provider in a process of its own: it answers by the model's name, until it is ended."""

import asyncio
import sys

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()

from litellm_cancel_otel._demo.fakes import FakeProvider, Script  # noqa: E402 - it loads LiteLLM

CHUNKS = 30
INTERVAL = 0.03
"""Seconds between two chunks: each is read before the next arrives, even while it is counted."""

SCRIPTS = {
    "call": Script(),
    "chunks": Script(chunks=CHUNKS, interval=INTERVAL),
    "silent": Script(chunks=3, hang_at=1),
}


async def main() -> None:
    """Print the address, and serve as long as somebody holds standard input open."""
    async with FakeProvider() as provider:
        provider.scripts = SCRIPTS
        print(provider.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
