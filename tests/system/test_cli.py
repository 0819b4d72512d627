"""The command line as a user runs it: commands, exit codes, what it says when something lacks."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import litellm
import pytest

import litellm_cancel_otel
from litellm_cancel_otel._cli import COMMANDS, main
from litellm_cancel_otel._integration import socket_folder
from support import children, warm
from support.otlp_sink import OtlpSink

BACKSTOP = 60
COMMAND = (sys.executable, "-m", "litellm_cancel_otel")
OURS = ("OTEL_", "LITELLM_CANCEL_OTEL_", "COLUMNS")
TELEMETRY_OFF = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would change a result."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | more


def run(*args: str, command: Sequence[str] = COMMAND, **environ: str) -> children.Ended[str]:
    return children.run(
        [*command, *args],
        env=environment(**environ),
        text=True,
        timeout=BACKSTOP,
    )


def quickly(*args: str, first: str = "", **environ: str) -> children.Ended[str]:
    """Run the command line in a warm process; ``first`` is code that runs before."""
    code = f"{first}\n{warm.COMMAND_LINE}"
    return warm.run(code, *args, env=environment(**environ), timeout=BACKSTOP)


Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run the doctor in this process, with nothing set but what is given."""

    def look(**environ: str) -> tuple[int, dict[str, Any]]:
        for name in list(os.environ):
            if name.startswith(OURS):
                monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", "--json"])
        return code, json.loads(capsys.readouterr().out)

    return look


def test_it_tells_its_version() -> None:
    ended = run("--version")
    assert ended.returncode == 0
    assert ended.stdout == f"litellm-cancel-otel {version('litellm-cancel-otel')}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "demo" in said
    assert "doctor" in said


def test_without_a_command_it_says_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "usage: litellm-cancel-otel" in capsys.readouterr().err


def test_a_command_that_is_not_installed_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(COMMANDS, "magic", "_magic.command")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "magic" not in capsys.readouterr().out


def test_a_fault_inside_a_command_is_not_taken_for_its_absence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "_broken_for_test.py").write_text("import surely_not_installed")
    path = [*litellm_cancel_otel.__path__, str(tmp_path)]
    monkeypatch.setattr(litellm_cancel_otel, "__path__", path)
    monkeypatch.setitem(COMMANDS, "broken", "_broken_for_test")
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        main(["--help"])


WITHOUT = """
import importlib.abc, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == MISSING:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])
sys.meta_path.insert(0, Without())
"""
WITHOUT_SPEC = """
from litellm_cancel_otel._demo import demo
found = demo.find_spec
demo.find_spec = lambda name: None if name == MISSING else found(name)
"""


def test_a_missing_extra_is_one_line_with_what_to_install() -> None:
    first = WITHOUT.replace("MISSING", "'rich'")
    ended = run("demo", command=(sys.executable, "-c", first + warm.COMMAND_LINE))
    assert ended.returncode == 2
    assert ended.stderr == needs("rich")


@pytest.mark.parametrize("missing", [pytest.param("botocore", marks=pytest.mark.long), "uvicorn"])
def test_so_is_one_that_is_looked_for_before_it_is_imported(missing: str) -> None:
    ended = quickly("demo", first=WITHOUT_SPEC.replace("MISSING", repr(missing)))
    assert ended.returncode == 2
    assert ended.stderr == needs(missing)


def needs(missing: str) -> str:
    return f"litellm-cancel-otel demo needs {missing}: pip install 'litellm-cancel-otel[demo]'\n"


def test_a_reader_that_has_gone_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        env = environment(**TELEMETRY_OFF)
        ended = warm.run(warm.COMMAND_LINE, "doctor", env=env, stdout=gone.fileno())
    assert ended.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_load_without_a_traceback(sent: signal.Signals) -> None:
    read, write = os.pipe()
    with (
        os.fdopen(read) as told,
        os.fdopen(write, "w") as stderr,
        warm.started(
            warm.COMMAND_LINE, "demo", "--load", "600", env=environment(), stderr=stderr.fileno()
        ) as running,
    ):
        stderr.close()
        while "calls a second" not in (line := told.readline()):
            assert line
        running.send_signal(sent)
        said = told.read()
        assert running.wait(BACKSTOP) == 128 + signal.SIGINT
    assert "Traceback" not in said


def test_the_doctor_finds_nothing_where_all_is_well() -> None:
    ended = run("doctor", **TELEMETRY_OFF)
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("no problems\n")
    assert ended.stderr == ""


def test_the_doctor_sees_versions_and_seams(doctor: Doctor) -> None:
    code, found = doctor(**TELEMETRY_OFF)
    assert code == 0
    assert found["versions"]["litellm"] == version("litellm")
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["seams"]["fit"] == found["seams"]["all"] > 10
    assert found["seams"]["arriving"] == found["seams"]["called"] > 10


def test_the_doctor_names_a_seam_that_does_not_fit(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(litellm, "aembedding")
    code, found = doctor(**TELEMETRY_OFF)
    assert code == 1
    assert found["seams"]["fit"] == found["seams"]["all"] - 1
    assert any("litellm.aembedding" in problem for problem in found["problems"])


def test_the_doctor_names_a_function_from_which_a_call_does_not_arrive(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def theirs(**_: object) -> str:
        return "from a cache"

    monkeypatch.setattr(litellm, "aembedding", theirs)
    code, found = doctor(**TELEMETRY_OFF)
    assert code == 1
    assert found["seams"]["arriving"] == found["seams"]["called"] - 1
    (problem,) = found["problems"]
    assert problem.startswith(f"not watched: litellm.aembedding is replaced by {__name__}: ")


def test_the_doctor_says_which_variable_a_setting_comes_from(doctor: Doctor) -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_MAX_MODELS="7", **TELEMETRY_OFF)
    assert code == 0
    assert found["settings"]["max_models"] == {"value": 7, "from": "LITELLM_CANCEL_OTEL_MAX_MODELS"}
    assert found["settings"]["guard"]["from"] == "default"


def test_the_doctor_names_a_setting_that_does_not_fit(doctor: Doctor) -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_SPANS="some", **TELEMETRY_OFF)
    assert code == 1
    (problem,) = found["problems"]
    assert "LITELLM_CANCEL_OTEL_SPANS is 'some'" in problem
    assert found["settings"]["spans"] == {"value": "cancelled", "from": "default"}


@pytest.mark.parametrize(
    ("limits", "problems"),
    [
        ('{"azure.ai.openai/o3": [9, 9], "azure": [1, 2], "bedrock_converse": [3, 4]}', 0),
        ('{"azure": [1, 2], "azur/gpt-4o": [1, 2]}', 1),
    ],
)
def test_the_doctor_names_a_limit_that_can_match_nothing(
    doctor: Doctor, limits: str, problems: int
) -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_STUCK_LIMITS=limits, **TELEMETRY_OFF)
    assert code == len(found["problems"]) == problems
    for problem in found["problems"]:
        assert "azur/gpt-4o can match nothing" in problem
        assert "the nearest name is azure" in problem


@pytest.mark.parametrize(("chosen", "code"), [("", 1), ("off", 0)])
def test_the_doctor_finds_no_place_for_the_socket_of_top(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, code: int
) -> None:
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(socket_folder, "_LAST", ())
    ended, found = doctor(LITELLM_CANCEL_OTEL_TOP_SOCKET=chosen, **TELEMETRY_OFF)
    assert ended == len(found["problems"]) == code
    for problem in found["problems"]:
        assert problem.startswith(f"no place for the socket of top ({tmp_path / 'none'}")
        assert "LITELLM_CANCEL_OTEL_TOP_SOCKET" in problem


def test_the_doctor_names_a_variable_that_is_no_setting(doctor: Doctor) -> None:
    code, found = doctor(LITELLM_CANCEL_OTEL_GAURD="1", **TELEMETRY_OFF)
    assert code == 1
    (problem,) = found["problems"]
    assert "LITELLM_CANCEL_OTEL_GUARD" in problem


def test_the_doctor_says_what_to_set_where_telemetry_goes_nowhere(doctor: Doctor) -> None:
    code, found = doctor()
    assert code == 1
    (problem,) = found["problems"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in problem
    assert found["telemetry"] == {"traces": [], "metrics": []}


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_doctor_finds_a_collector_that_is_there(doctor: Doctor, protocol: str) -> None:
    with OtlpSink() as sink:
        code, found = doctor(**sink.env(protocol))
        place = {"exporter": "otlp", "protocol": protocol, "endpoint": sink.endpoint(protocol)}
    assert found["problems"] == []
    assert code == 0
    assert found["telemetry"] == {"traces": [place], "metrics": [place]}


def test_the_doctor_misses_a_collector_that_is_not_there(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    code, found = doctor(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert code == 1
    (problem,) = found["problems"]
    assert problem.startswith(f"traces and metrics go to {endpoint}, which cannot be reached")


def test_the_doctor_respects_that_telemetry_is_switched_off(doctor: Doctor) -> None:
    code, found = doctor(OTEL_SDK_DISABLED="true")
    assert code == 0
    assert found["telemetry"]["traces"] == [{"exporter": "none (OTEL_SDK_DISABLED)"}]


SECRET = "http://user:hunter2@127.0.0.1:{port}/v1?token=letmein#apart"


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("reachable", [True, False])
def test_the_doctor_shows_of_an_endpoint_only_where_it_is(as_json: bool, reachable: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not reachable:
            server.close()
        told = quickly(
            "doctor",
            *(["--json"] if as_json else []),
            OTEL_EXPORTER_OTLP_ENDPOINT=SECRET.format(port=port),
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20opensesame",
        )
    said = told.stdout + told.stderr
    assert f"http://127.0.0.1:{port}/v1" in said
    for secret in ("user", "hunter2", "token", "letmein", "apart", "opensesame"):
        assert secret not in said, secret
    assert told.returncode == (0 if reachable else 1)


@pytest.mark.parametrize(
    "endpoint",
    ["http://user:hun/ter2@127.0.0.1:4318", "user:hunter2@127.0.0.1", "http://user:h?nter2@x:1"],
)
def test_the_doctor_shows_nothing_of_an_endpoint_that_is_no_address(endpoint: str) -> None:
    told = quickly("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    for secret in ("user:", "ter2", "nter2"):
        assert secret not in told.stdout + told.stderr
    assert told.returncode == 1
