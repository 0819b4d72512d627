"""The command line as a user runs it: subcommands, exit codes, what it says when something lacks."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pytest

from otlp_sink import OtlpSink

BACKSTOP = 60
COMMAND = (sys.executable, "-m", "litellm_cancel_otel")
SMALL = ("demo", "--ways", "completed", "--providers", "openai")

TELEMETRY_OFF = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would change a result."""
    ours = ("OTEL_", "LITELLM_CANCEL_OTEL_", "COLUMNS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | more


def run(
    *args: str, command: Sequence[str] = COMMAND, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *args],
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=BACKSTOP,
        check=False,
    )


def run_after(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that has run some code first."""
    main = f"import sys; from litellm_cancel_otel._cli import main; sys.exit(main({list(args)!r}))"
    return run(command=(sys.executable, "-c", f"{code}\n{main}"))


def doctor(**environ: str) -> tuple[int, dict[str, Any]]:
    ended = run("doctor", "--json", **environ)
    return ended.returncode, json.loads(ended.stdout)


def test_it_tells_its_version() -> None:
    ended = run("--version")
    assert ended.returncode == 0
    assert ended.stdout == f"litellm-cancel-otel {version('litellm-cancel-otel')}\n"


@pytest.mark.parametrize("command", ["demo", "doctor"])
def test_help_names_each_command(command: str) -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert command in ended.stdout


def test_without_a_command_it_says_how_to_use_it() -> None:
    ended = run()
    assert ended.returncode == 2
    assert "usage: litellm-cancel-otel" in ended.stderr


def test_a_command_that_is_not_installed_is_left_out() -> None:
    ended = run_after(
        "import litellm_cancel_otel._cli as cli; cli.COMMANDS['magic'] = '_magic.command'", "--help"
    )
    assert ended.returncode == 0
    assert "demo" in ended.stdout
    assert "magic" not in ended.stdout


@pytest.mark.parametrize("missing", ["rich", "h11", "botocore"])
def test_a_missing_extra_is_one_line_with_what_to_install(missing: str) -> None:
    code = f"""
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])
sys.meta_path.insert(0, Without())
"""
    if missing == "botocore":
        code += """
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name == "botocore" else found(name, package)
)
"""
    ended = run_after(code, "demo")
    assert ended.returncode == 2
    assert ended.stderr == (
        f"litellm-cancel-otel demo needs {missing}: pip install 'litellm-cancel-otel[demo]'\n"
    )


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        ended = subprocess.run(
            [*COMMAND, "doctor"],
            env=environment(**TELEMETRY_OFF),
            stdout=gone,
            stderr=subprocess.PIPE,
            text=True,
            timeout=BACKSTOP,
            check=False,
        )
    assert ended.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_load_without_a_traceback(sent: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "demo", "--load", "600"],
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stderr is not None
        while "calls a second" not in running.stderr.readline():
            assert running.poll() is None
        running.send_signal(sent)
        said = running.stderr.read()
        assert running.wait(BACKSTOP) == 128 + signal.SIGINT
    assert "Traceback" not in said


def test_the_doctor_finds_nothing_where_all_is_well() -> None:
    ended = run("doctor", **TELEMETRY_OFF)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("no problems\n")
    assert ended.stderr == ""


def test_the_doctor_sees_versions_and_seams() -> None:
    code, found = doctor(**TELEMETRY_OFF)
    assert code == 0
    assert found["versions"]["litellm"] == version("litellm")
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["seams"]["fit"] == found["seams"]["all"] > 10


def test_the_doctor_names_a_seam_that_does_not_fit() -> None:
    ended = run_after("import litellm; del litellm.aembedding", "doctor", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert found["seams"]["fit"] == found["seams"]["all"] - 1
    assert any("litellm.aembedding" in problem for problem in found["problems"])


def test_the_doctor_says_which_variable_a_setting_comes_from() -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_MAX_MODELS="7", **TELEMETRY_OFF)
    assert code == 0
    assert found["settings"]["max_models"] == {"value": 7, "from": "LITELLM_CANCEL_OTEL_MAX_MODELS"}
    assert found["settings"]["guard"]["from"] == "default"


def test_the_doctor_names_a_setting_that_does_not_fit() -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_SPANS="some", **TELEMETRY_OFF)
    assert code == 1
    (problem,) = found["problems"]
    assert "LITELLM_CANCEL_OTEL_SPANS is 'some'" in problem
    assert found["settings"]["spans"] == {"value": "cancelled", "from": "default"}


def test_the_doctor_names_a_variable_that_is_no_setting() -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_GAURD="1", **TELEMETRY_OFF)
    assert code == 1
    (problem,) = found["problems"]
    assert "LITELLM_CANCEL_OTEL_GUARD" in problem


def test_the_doctor_says_what_to_set_where_telemetry_goes_nowhere() -> None:
    code, found = doctor()
    assert code == 1
    (problem,) = found["problems"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in problem
    assert found["telemetry"] == {"traces": [], "metrics": []}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_doctor_finds_a_collector_that_is_there(protocol: str) -> None:
    with OtlpSink() as sink:
        code, found = doctor(**sink.env(protocol))
        place = {"exporter": "otlp", "protocol": protocol, "endpoint": sink.endpoint(protocol)}
    assert found["problems"] == []
    assert code == 0
    assert found["telemetry"] == {"traces": [place], "metrics": [place]}


def test_the_doctor_misses_a_collector_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    code, found = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert code == 1
    (problem,) = found["problems"]
    assert problem.startswith(f"traces and metrics go to {endpoint}, which cannot be reached")


def test_the_doctor_respects_that_telemetry_is_switched_off() -> None:
    code, found = doctor(OTEL_SDK_DISABLED="true")
    assert code == 0
    assert found["telemetry"]["traces"] == [{"exporter": "none (OTEL_SDK_DISABLED)"}]
