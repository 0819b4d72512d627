"""What an application's start loads, by the modules' names: only what is used."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import children

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"

CREATED = "import litellm_cancel_otel; litellm_cancel_otel.CancelTelemetry()"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
GRPC = ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}

NEVER = {"difflib", "glob", "rich", "httpx2", "starlette", "uvicorn"}
"""What `top`, the demo and a typing error in a setting need."""
PROGRAMS = {
    f"litellm_cancel_otel.{name}" for name in ("_cli", "_dashboards", "_demo", "_doctor", "_top")
}
HTTP = "opentelemetry.exporter.otlp.proto.http"
OVER_GRPC = "opentelemetry.exporter.otlp.proto.grpc"


FORKS = """
import json, os, sys
import litellm

def tell_what_is_loaded_with(variables, out):
    os.environ.update(variables)
    known = set(sys.modules)
    CREATED
    print(json.dumps(sorted(set(sys.modules) - known)), file=out, flush=True)

for line in sys.stdin:
    pid = os.fork()  # so that each begins with what importing litellm loads, and no more
    if not pid:
        try:
            tell_what_is_loaded_with(json.loads(line), sys.stdout)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
"""


def run(script: str, **options: Any) -> list[set[str]]:
    """Run a script; return the modules of each line that it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with children.started(
        [sys.executable, "-W", "ignore", "-c", script],
        env=kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(SOURCES)},
        stdin=children.PIPE,
        stdout=children.PIPE,
        text=True,
    ) as running:
        said, _ = running.communicate(timeout=children.BACKSTOP, **options)
    assert running.returncode == 0
    return [set(json.loads(line)) for line in said.splitlines()]


class Loaded(NamedTuple):
    """The modules that creating a telemetry loads beyond litellm's."""

    plain: set[str]
    http: set[str]
    grpc: set[str]


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    """What is loaded with these variables set."""
    cases = "".join(f"{json.dumps(variables)}\n" for variables in ({}, ENDPOINT, GRPC))
    return Loaded(*run(FORKS.replace("CREATED", CREATED), input=cases))


def of(modules: set[str], *packages: str) -> set[str]:
    """Return those of the modules that are one of the packages, or in it."""
    return {one for one in modules if any(f"{one}.".startswith(f"{name}.") for name in packages)}


class TestCreating:
    def test_loads_no_program_and_no_exporter(self, loaded: Loaded) -> None:
        assert of(loaded.plain, *NEVER, *PROGRAMS) == set()
        assert of(loaded.plain, "google", "grpc", HTTP, OVER_GRPC) == set()
        assert "litellm_cancel_otel._integration.callback" in loaded.plain

    @pytest.mark.parametrize(
        ("protocol", "wanted", "other"),
        [("http", HTTP, {OVER_GRPC, "grpc"}), ("grpc", OVER_GRPC, {HTTP})],
    )
    def test_loads_the_exporter_of_the_protocol_that_is_set(
        self, loaded: Loaded, protocol: str, wanted: str, other: set[str]
    ) -> None:
        modules = loaded.http if protocol == "http" else loaded.grpc

        assert {f"{wanted}.trace_exporter", f"{wanted}.metric_exporter"} <= modules
        assert of(modules, *other, *NEVER, *PROGRAMS) == set()


def test_help_loads_neither_litellm_nor_opentelemetry() -> None:
    code = (
        "import json, sys\nfrom litellm_cancel_otel import _cli; _cli._parser()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    (modules,) = run(code)

    assert "litellm_cancel_otel._top.command" in modules
    assert of(modules, "litellm", "opentelemetry", "rich", "openai") == set()
