"""One side in a process of its own: ``python -m benchmarks.peers.child SIDE costs URL``.

Or ``SIDE endings [NAME ...]``; ``costs URL small`` does less, where the figures do not matter.
"""

import asyncio
import json
import logging
import sys
import warnings

from litellm_cancel_otel._demo import quiet

quiet.before_litellm()
warnings.simplefilter("ignore")

from . import costs, endings  # noqa: E402 - LiteLLM reads its environment as it is imported
from .running import FOUND  # noqa: E402 - the same
from .turning_on import turned_on  # noqa: E402 - the same


async def main(side: str, part: str, *more: str) -> None:
    """Turn the side on, measure, and print what was found."""
    quiet.libraries()
    logging.disable(logging.ERROR)
    heard, wrap = turned_on(side)
    if part == "costs":
        size = costs.SMALL if "small" in more else costs.FULL
        found: object = await costs.measure(more[0], heard, size)
    else:
        found = await endings.told(heard, wrap, more)
    print(FOUND + json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
