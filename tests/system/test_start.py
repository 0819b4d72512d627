"""What an application's start loads, by the modules' names: only what is used."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support import children

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


def loaded(code: str, variables: Mapping[str, str], before: str = "import litellm") -> set[str]:
    """Return the modules that code loads beyond what came before."""
    script = (
        f"import json, sys\n{before}\nknown = set(sys.modules)\n{code}\n"
        "print(json.dumps(sorted(set(sys.modules) - known)))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = children.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env=kept | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(SOURCES)} | variables,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stdout.splitlines()[-1]))


def of(modules: set[str], *packages: str) -> set[str]:
    """Return those of the modules that are one of the packages, or in it."""
    return {one for one in modules if any(f"{one}.".startswith(f"{name}.") for name in packages)}


class TestCreating:
    def test_loads_no_program_and_no_exporter(self) -> None:
        modules = loaded(CREATED, {})

        assert of(modules, *NEVER, *PROGRAMS) == set()
        assert of(modules, "google", "grpc", HTTP, OVER_GRPC) == set()
        assert "litellm_cancel_otel._integration.callback" in modules

    @pytest.mark.parametrize(
        ("variables", "wanted", "other"),
        [(ENDPOINT, HTTP, {OVER_GRPC, "grpc"}), (GRPC, OVER_GRPC, {HTTP})],
        ids=["http", "grpc"],
    )
    def test_loads_the_exporter_of_the_protocol_that_is_set(
        self, variables: Mapping[str, str], wanted: str, other: set[str]
    ) -> None:
        modules = loaded(CREATED, variables)

        assert {f"{wanted}.trace_exporter", f"{wanted}.metric_exporter"} <= modules
        assert of(modules, *other, *NEVER, *PROGRAMS) == set()


def test_help_loads_neither_litellm_nor_opentelemetry() -> None:
    code = "from litellm_cancel_otel import _cli; _cli._parser()"

    modules = loaded(code, {}, before="")

    assert "litellm_cancel_otel._top.command" in modules
    assert of(modules, "litellm", "opentelemetry", "rich", "openai") == set()
