"""What watching costs, beside bare LiteLLM in the same run: ``python -m benchmarks.overhead``.

Registered as the README says, with LiteLLM's logging waited for and every setting as by default.
Each side is measured in turn, several times, and the medians are printed. What is counted does not
depend on the machine's load; how far the second bare side is from the first says what is noise.
"""

import asyncio
import gc
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Final

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from benchmarks.sides import Side, running
from benchmarks.work import bytes_of_stream, cost_of_call, cost_of_chunk

from litellm_cancel_otel import CancelTelemetry
from litellm_cancel_otel._demo.fakes import FakeProvider, aclose_litellm_clients

ROUNDS: Final = 3
CALLS: Final = 5
CHUNKS: Final = {"chunk that arrives by itself": True, "chunk of a backlog": False}

Measured = Sequence[float]
Measure = Callable[[CancelTelemetry | None], Awaitable[Measured]]


async def compare(measure: Measure, *, counted: bool) -> dict[Side, list[float]]:
    """Return the medians of each side, measured in turn; the first round only warms up."""
    rounds: dict[Side, list[Measured]] = {side: [] for side in Side}
    for _ in range(ROUNDS + 1):
        for side, measured in rounds.items():
            gc.collect()
            with running(side, counted=counted) as telemetry:
                measured.append(await measure(telemetry))
    return {
        side: [statistics.median(column) for column in zip(*measured[1:], strict=True)]
        for side, measured in rounds.items()
    }


def show(name: str, figures: dict[Side, list[float]], column: int) -> None:
    """Print one line of the table."""
    bare, again, empty, watched = (figures[side][column] for side in Side)
    more = (again - bare, empty - bare, watched - bare)
    line = "".join(f"{figure:>10,.0f}" for figure in (bare, *more))
    print(f"{name:<42}{line}   ×{watched / bare:.4f}")


async def main() -> None:
    """Print every figure."""
    litellm.suppress_debug_info = True
    print(f"Python {sys.version.split()[0]}, LiteLLM {version('litellm')}, Azure\n")
    print(f"{'':<42}{'bare':>10}{'noise':>10}{'empty':>10}{'ours':>10}   ours")
    async with FakeProvider() as provider:

        async def calls(_: object) -> Measured:
            costs = [await cost_of_call() for _ in range(CALLS)]
            return [statistics.median(column) for column in zip(*costs, strict=True)]

        figures = await compare(calls, counted=True)
        show("call, bytecodes", figures, 0)
        show("call, function calls", figures, 2)
        for name, arriving in CHUNKS.items():

            async def chunks(_: object, arriving: bool = arriving) -> Measured:
                return await cost_of_chunk(provider, arriving=arriving)

            figures = await compare(chunks, counted=True)
            show(f"{name}, bytecodes", figures, 0)
            print(f"{'  of them the package itself':<72}{figures[Side.WATCHED][1]:>10,.0f}")
            show(f"{name}, function calls", figures, 2)

        async def streams(telemetry: CancelTelemetry | None) -> Measured:
            return await bytes_of_stream(provider, telemetry)

        figures = await compare(streams, counted=False)
        show("open stream, bytes held", figures, 0)
        show("the same after its end", figures, 1)
        await aclose_litellm_clients()


if __name__ == "__main__":
    asyncio.run(main())
