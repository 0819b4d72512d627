"""What the package adds to an application's start: ``python benchmarks/start.py``.

Each run is a process of its own, without the package and with it in turn. The figures are those of
``-X importtime``: for each module the least of the runs, which a loaded machine disturbs least.
"""

import argparse
import compileall
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

LITELLM = "import litellm, litellm.integrations.custom_logger"
SDK = "import opentelemetry.sdk.metrics.export, opentelemetry.sdk.trace.export"
OURS = "import litellm_cancel_otel; litellm_cancel_otel.CancelTelemetry()"
ENDPOINT = "http://127.0.0.1:9"

MARK = "begins: "
_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")
_EXPORTS = {
    "no exporter": {},
    "OTLP over HTTP": {"OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT},
    "OTLP over gRPC": {
        "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINT,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    },
}


def imports(variables: dict[str, str], steps: list[str]) -> Iterator[tuple[str, str, int]]:
    """Yield each module that a process imports: the step, its name, its own microseconds."""
    marked = [
        f"sys.stderr.write('\\n{MARK}{number}\\n'); {step}" for number, step in enumerate(steps)
    ]
    # A collection of LiteLLM's objects may come at any time, and takes longer than all of this.
    code = "\n".join(["import gc, sys", "gc.disable()", *marked])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "importtime", "-c", code],
        env=kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    at = ""
    for line in ended.stderr.splitlines():
        if line.startswith(MARK):
            at = line.removeprefix(MARK)
        elif (found := _LINE.match(line)) is not None:
            yield at, found[2], int(found[1])


def compile_ours() -> None:
    """Give a checkout what an installation has: the package's bytecode."""
    package = find_spec("litellm_cancel_otel")
    assert package is not None
    for folder in package.submodule_search_locations or ():
        compileall.compile_dir(folder, quiet=1)


def milliseconds(least: dict[tuple[str, str], int], step: int) -> float:
    """Return what the imports of a step take."""
    return sum(taken for (at, _), taken in least.items() if at == str(step)) / 1_000


def main() -> None:
    """Print what the imports of each step take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    compile_ours()
    print(f"Python {sys.version.split()[0]}, ms of imports, the least of {runs} runs\n")
    print(f"{'':<18}{'LiteLLM':>10}{'the SDK':>10}{'the package':>14}{'of which exporters':>20}")
    nothing_exported = 0.0
    for name, variables in _EXPORTS.items():
        both: dict[bool, dict[tuple[str, str], int]] = {False: {}, True: {}}
        for _ in range(runs):
            for with_it, least in both.items():
                for at, module, taken in imports(
                    variables, [LITELLM, SDK, *([OURS] if with_it else [])]
                ):
                    least[at, module] = min(taken, least.get((at, module), taken))
        litellm, sdk = (milliseconds(both[False], step) for step in (0, 1))
        ours = milliseconds(both[True], 2)
        nothing_exported = nothing_exported or ours
        exporters = ours - nothing_exported
        print(f"{name:<18}{litellm:>10.0f}{sdk:>10.0f}{ours:>14.0f}{exporters:>20.0f}", flush=True)


if __name__ == "__main__":
    main()
