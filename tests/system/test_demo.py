"""The demo as a user runs it: what each way of cancelling gives, where it goes, how it is shown."""

import io
import json
import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import litellm
import pytest
from rich.console import Console

from litellm_cancel_otel import CancelTelemetry
from litellm_cancel_otel._cli import main
from litellm_cancel_otel._contract import semconv as sc
from litellm_cancel_otel._demo import quiet
from litellm_cancel_otel._demo.fakes import PROVIDERS
from litellm_cancel_otel._demo.leaving import LEAVINGS, Left
from litellm_cancel_otel._demo.records import Got, Pair, Record, Seen
from litellm_cancel_otel._demo.runner import WINDOW, Runner, SeamsInstalledError, seams_are_out
from litellm_cancel_otel._demo.table import WIDE, table
from litellm_cancel_otel._demo.ways import WAYS
from support import children, warm
from support.otlp_sink import OtlpSink
from support.telemetry import OLD
from support.terminal import Terminal, needs_tmux

BACKSTOP = 120
COMMAND = (sys.executable, "-m", "litellm_cancel_otel", "demo")
QUICK = ("--ways", "completed,cancel-body,internal-body", "--providers", "azure,openai")
"""Six rows that end at once."""

pytestmark = pytest.mark.skipif(
    find_spec("botocore") is None, reason="LiteLLM calls Bedrock through botocore"
)
needs_prometheus = pytest.mark.skipif(
    find_spec("prometheus_client") is None, reason="the extra `prometheus` is not installed"
)


class Cancelled(NamedTuple):
    """What a way of cancelling must give with the package, whatever the provider and LiteLLM."""

    got: str
    type: str
    source: str
    phase: str
    signal: str = "cancel"
    ended_by: str = "exception"


EXPECTED = {
    "cancel-body": Cancelled("CancelledError", "external", "task_cancel", "request"),
    "cancel-first-byte": Cancelled("CancelledError", "external", "task_cancel", "request"),
    "cancel-waiting": Cancelled("CancelledError", "external", "task_cancel", "streaming"),
    "cancel-between": Cancelled("CancelledError", "external", "task_cancel", "streaming"),
    "cancel-backlog": Cancelled("CancelledError", "external", "task_cancel", "streaming"),
    "timeout": Cancelled("TimeoutError", "external", "deadline", "streaming"),
    "wait-for": Cancelled("TimeoutError", "external", "deadline", "request"),
    "task-group": Cancelled("ExceptionGroup", "external", "task_cancel", "streaming"),
    "anyio": Cancelled("goes on", "external", "deadline", "streaming"),
    "cancel-twice": Cancelled("CancelledError", "external", "task_cancel", "streaming"),
    "aclose": Cancelled("goes on", "external", "aclose", "streaming", "aclose", "aclose"),
    "break": Cancelled("goes on", "external", "abandoned", "streaming", "gc", "gc"),
    "never-iterated": Cancelled("goes on", "external", "abandoned", "request", "gc", "gc"),
    "internal-connect": Cancelled("error 500", "{}_internal", "provider", "request"),
    "internal-body": Cancelled("error 500", "{}_internal", "provider", "request"),
    "internal-stream": Cancelled("error 500", "{}_internal", "provider", "streaming"),
    "gc": Cancelled("goes on", "external", "abandoned", "streaming", "gc", "gc"),
    "shutdown": Cancelled("CancelledError", "external", "shutdown", "streaming"),
}
INTERNAL = [name for name in EXPECTED if name.startswith("internal-")]
EXTERNAL = [name for name in EXPECTED if name not in INTERNAL]

every_provider = pytest.mark.parametrize("provider", PROVIDERS)

Row = dict[str, Any]
Rows = dict[tuple[str, str], Row]


class Full(NamedTuple):
    """One run of everything."""

    code: int
    document: dict[str, Any]
    rows: Rows
    errors: str
    svg: str


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would change a result."""
    ours = ("OTEL_", "LITELLM_CANCEL_OTEL_", "COLUMNS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | more


def demo(*args: str) -> children.Ended[str]:
    """Run the demo in a process that need not import LiteLLM first."""
    return warm.run(warm.COMMAND_LINE, "demo", *args, env=environment(), timeout=BACKSTOP)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    """Run everything once as a user does, for a machine, with the picture."""
    svg = tmp_path_factory.mktemp("demo") / "demo.svg"
    command = [*COMMAND, "--json", "--svg", str(svg)]
    ended = children.run(command, env=environment(), timeout=BACKSTOP)
    assert ended.stdout, ended.stderr
    document = json.loads(ended.stdout)
    rows = {(row["way"], row["provider"]): row for row in document["rows"]}
    return Full(ended.returncode, document, rows, ended.stderr, svg.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def quick() -> children.Ended[str]:
    """Run a few rows, for a person."""
    return demo(*QUICK)


def got(side: Row) -> str:
    return side["got"] if side["status"] is None else f"error {side['status']}"


@pytest.mark.long
def test_every_client_that_leaves_is_as_it_must_be(full: Full) -> None:
    clients = {row["way"]: row for row in full.document["clients"]}

    assert list(clients) == [leaving.name for leaving in LEAVINGS]
    for row in clients.values():
        assert row["problems"] == []
        assert row["with"]["finally_after"] < WINDOW
        assert row["with"]["provider_saw_close_after"] < WINDOW
        assert row["with"]["attributes"][sc.CANCELLATION_TYPE] == "external"
        assert "attributes" not in row["without"]
    # The case of LiteLLM's issue 11546, in a process that does nothing else.
    assert clients["client-stopped"]["without"]["finally_after"] is None


def test_some_rows_alone_have_no_clients(quick: children.Ended[str]) -> None:
    assert "a client leaves" not in quick.stdout


def test_a_client_that_nobody_cleaned_up_behind_is_a_problem() -> None:
    left = Left(LEAVINGS[0], None, None, None)

    assert left.problems() == [
        f"the generator's finally had not run after {WINDOW:g} s",
        f"the provider's connection was open after {WINDOW:g} s",
        "cancellation_type is None, not external",
        "litellm_cancel.source is None, not client_disconnect",
    ]


@pytest.mark.long
def test_every_row_is_as_it_must_be(full: Full) -> None:
    assert [row for row in full.rows.values() if row["problems"]] == []
    assert full.code == 0
    assert "not as it must be" not in full.errors


@pytest.mark.long
def test_there_is_a_row_for_every_way_at_every_provider(full: Full) -> None:
    ways = {"completed", "error", *EXPECTED}
    assert set(full.rows) == {(way, provider) for way in ways for provider in PROVIDERS}


@every_provider
@pytest.mark.parametrize("way", EXPECTED)
@pytest.mark.long
def test_with_the_package_a_cancel_is_what_it_was(full: Full, way: str, provider: str) -> None:
    row = full.rows[way, provider]["with"]
    attributes = row["attributes"]
    assert row["outcome"] == "cancelled"
    seen = Cancelled(
        got(row),
        attributes["cancellation_type"],
        *(
            attributes[f"litellm_cancel.{name}"]
            for name in ("source", "phase", "signal", "ended_by")
        ),
    )
    assert seen == EXPECTED[way]._replace(type=EXPECTED[way].type.format(provider))


@every_provider
@pytest.mark.parametrize("way", EXPECTED)
@pytest.mark.long
def test_with_the_package_the_latencies_are_known(full: Full, way: str, provider: str) -> None:
    row = full.rows[way, provider]["with"]
    assert row["provider_open_after"] is None
    assert 0 <= row["attributes"]["litellm_cancel.disconnect_to_finally"] < 2
    if row["requests"]:
        assert 0 <= row["attributes"]["litellm_cancel.disconnect_to_upstream_close"] < 2


@every_provider
@pytest.mark.long
def test_an_internal_cancel_at_azure_is_an_azure_error(full: Full, provider: str) -> None:
    for way in INTERNAL:
        causes = full.rows[way, provider]["with"]["causes"]
        assert ("AzureCancellationError" in causes) is (provider == "azure")
        assert "CancelledError" in causes


@every_provider
@pytest.mark.parametrize("side", ["without", "with"])
@pytest.mark.long
def test_a_call_that_ends_by_itself_is_the_same_on_both_sides(
    full: Full, side: str, provider: str
) -> None:
    completed, refused = (full.rows[way, provider][side] for way in ("completed", "error"))
    assert (got(completed), completed["callbacks"]) == ("answer", ["success"])
    assert (got(refused), refused["callbacks"]) == ("error 429", ["failure"])


@every_provider
@pytest.mark.parametrize("way", ["completed", "error"])
@pytest.mark.long
def test_a_call_that_ends_by_itself_is_no_cancel(full: Full, way: str, provider: str) -> None:
    row = full.rows[way, provider]["with"]
    assert row["outcome"] == way
    assert "cancellation_type" not in row["attributes"]


@every_provider
@pytest.mark.long
def test_without_the_package_callbacks_see_no_external_cancel(full: Full, provider: str) -> None:
    # Up to 1.103 Azure's chat handler makes an error of every cancel, which they do see.
    ways = [way for way in EXTERNAL if not (provider == "azure" and way in AZURE_CATCHES)]
    assert {way: full.rows[way, provider]["without"]["callbacks"] for way in ways} == {
        way: [] for way in ways
    }


AZURE_CATCHES = ("cancel-body", "wait-for")


@pytest.mark.skipif(not OLD, reason="newer versions of LiteLLM pass every cancel on")
@pytest.mark.parametrize("way", AZURE_CATCHES)
@pytest.mark.long
def test_without_the_package_old_azure_makes_an_error_of_it(full: Full, way: str) -> None:
    row = full.rows[way, "azure"]["without"]
    assert (got(row), row["callbacks"]) == ("error 500", ["failure"])


@pytest.mark.skipif(OLD, reason="older versions of LiteLLM catch it at Azure")
@every_provider
@pytest.mark.parametrize("way", INTERNAL)
@pytest.mark.long
def test_without_the_package_an_internal_cancel_leaks(full: Full, way: str, provider: str) -> None:
    assert got(full.rows[way, provider]["without"]) == "CancelledError"


@pytest.mark.skipif(not OLD, reason="newer versions of LiteLLM close by themselves")
@every_provider
@pytest.mark.long
def test_without_the_package_old_streams_stay_open(full: Full, provider: str) -> None:
    assert full.rows["cancel-waiting", provider]["without"]["provider_open_after"] >= 2


@pytest.mark.long
def test_the_metrics_count_every_call_once(full: Full) -> None:
    cancelled = len(EXPECTED) * len(PROVIDERS)
    assert full.document["totals"] == {
        "calls": {"completed": 4, "error": 4, "cancelled": cancelled},
        "cancellations": cancelled,
        "streams_open": 0,
        "internal_errors": 0,
        "cost_undelivered": 0,
    }


@pytest.mark.long
def test_nothing_but_progress_is_written_to_stderr(full: Full) -> None:
    progress = re.compile("(without|with) the package|clients that leave")
    assert [line for line in full.errors.splitlines() if not progress.match(line)] == []


@pytest.mark.long
def test_the_picture_shows_every_way_and_fetches_nothing(full: Full) -> None:
    text = full.svg.replace("&#160;", " ")
    titles = [one.title for one in (*WAYS.values(), *LEAVINGS)]
    assert [title for title in titles if title not in text] == []
    links = set(re.findall(r"https?://[^\s\"')<]+", full.svg))
    assert links <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}


def test_the_table_shows_both_sides_in_a_hundred_columns(
    quick: children.Ended[str],
) -> None:
    assert quick.returncode == 0, quick.stderr
    lines = quick.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    azure, openai = (line.split() for line in lines if "_internal" in line)
    assert (azure[0], azure[-3]) == ("azure", "azure_internal")
    assert (openai[0], openai[-3]) == ("openai", "openai_internal")
    (completed,) = (line.split() for line in lines if line.startswith("completed"))
    assert completed[:4] == ["completed", "answer", "-", "ok"]


@needs_tmux
@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.long)])
def test_the_table_is_whole_in_a_terminal(tmp_path: Path, width: int) -> None:
    with Terminal(tmp_path, width, *COMMAND, *QUICK, height=50) as terminal:
        terminal.wait_for("left with 0")
        lines = terminal.screen(100).splitlines()
    ours = lines[: lines.index(next(line for line in lines if line.startswith("Next:")))]
    assert not any("…" in line for line in ours)
    (completed,) = (line for line in ours if line.startswith("completed"))
    assert completed.split()[-2:] == ["-", "-"]
    azure, openai = (line.split() for line in ours if "_internal" in line)
    for row, name in ((azure, "azure"), (openai, "openai")):
        assert row[0] == name
        assert row[-3] == f"{name}_internal"
        assert re.fullmatch(r"[\d.]+", row[-2]), "the finally's milliseconds"
        assert re.fullmatch(r"[\d.]+", row[-1]), "the close's"
    got = "CancelledError" if width >= WIDE else "Cancelled"
    assert any(got in line.split() for line in ours)


@pytest.mark.parametrize("width", [50, 79, 80, 98, 99, 120])
def test_no_number_is_cut_at_any_width(width: int) -> None:
    pairs = [
        Pair(
            *(
                Record("anthropic", way, Got("ExceptionGroup"), Seen(1, closed_after=1.234), ())
                for _ in range(2)
            )
        )
        for way in WAYS.values()
    ]
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as shown:
        console.print(table(pairs, width))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.split().count("1234") for line in lines) == 2 * len(WAYS)
    assert width < 79 or not any("…" in line for line in lines)


def test_providers_that_agree_share_a_line(quick: children.Ended[str]) -> None:
    lines = [line for line in quick.stdout.splitlines() if line.startswith("cancel, no stream")]
    assert len(lines) == 1
    assert ("external: task_cancel" in lines[0]) is not OLD


def test_both_sides_show_the_close_as_the_provider_saw_it() -> None:
    way = WAYS["cancel-waiting"]
    without, with_ = (
        Record("openai", way, Got("CancelledError"), Seen(1, closed_after=seconds), ())
        for seconds in (0.007, 0.003)
    )
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as shown:
        console.print(table([Pair(without, with_)]))
    (line,) = (line for line in shown.get().splitlines() if line.startswith(way.title))
    assert "7.00" in line
    assert line.split()[-1] == "3.00"


def test_the_summary_counts(quick: children.Ended[str]) -> None:
    assert "WITH it 4 of 4 were counted, 0 streams are open" in quick.stdout


def test_a_row_that_is_not_as_it_must_be_is_named() -> None:
    code = """
import sys, dataclasses
from litellm_cancel_otel._cli import main
from litellm_cancel_otel._demo import ways
way = ways.WAYS["completed"]
wrong = dataclasses.replace(way, expected=ways.WAYS["error"].expected)
ways.WAYS["completed"] = wrong
sys.exit(main(["demo", "--ways", "completed", "--providers", "openai"]))
"""
    ended = warm.run(code, env=environment(), timeout=BACKSTOP)
    assert ended.returncode == 1
    assert "not as it must be: openai completed: the caller got answer" in ended.stderr


@pytest.mark.long
def test_it_asks_nobody_on_the_network() -> None:
    ours = environment()
    ours.pop("LITELLM_LOCAL_MODEL_COST_MAP", None)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        # Whoever asks for something elsewhere comes by here.
        ours |= dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
            f"http://127.0.0.1:{proxy.getsockname()[1]}",
        )
        ended = children.run([*COMMAND, *QUICK], env=ours, timeout=BACKSTOP)
        assert ended.returncode == 0
        with pytest.raises(BlockingIOError):
            proxy.accept()[0].close()


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the demo in this process with options that do not fit; return what it says."""
    monkeypatch.setattr(quiet, "before_litellm", lambda: None)

    def run(*args: str) -> str:
        assert main(["demo", *args]) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("option", "named"), [("--ways", list(WAYS)), ("--providers", list(PROVIDERS))]
)
def test_an_unknown_name_lists_the_names(
    refused: Callable[..., str], option: str, named: list[str]
) -> None:
    said = refused(option, "nonsense")
    assert "'nonsense'" in said
    assert [name for name in named if name not in said] == []


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--protocol", "grpc"), "--otlp"),
        (("--for", "3"), "--prometheus"),
        (("--load", "3", "--ways", "gc"), "--load"),
        (("--stuck", "3", "--svg", "x"), "--stuck"),
        (("--stuck", "3", "--load", "3"), "--load"),
    ],
)
def test_options_that_do_not_fit_together_say_so(
    refused: Callable[..., str], args: tuple[str, ...], named: str
) -> None:
    assert named in refused(*args)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_traces_and_metrics_reach_a_collector(protocol: str) -> None:
    with OtlpSink() as sink:
        ended = demo(*QUICK, "--otlp", sink.endpoint(protocol), "--protocol", protocol)
        assert ended.returncode == 0, ended.stderr
        assert f"sent to {sink.endpoint(protocol)}" in ended.stderr
        kinds = sorted(str(span.attributes.get("cancellation_type")) for span in sink.spans)
        # The last export has them all; one in between may have had less.
        calls = [metric for metric in sink.metrics if metric.name == "litellm_cancel.calls"][-1]
    assert kinds == ["None", "None", "azure_internal", "external", "external", "openai_internal"]
    assert sum(value for _, value in calls.points) == 6
    assert calls.transport == protocol.partition("/")[0]
    assert calls.resource["service.name"] == "litellm-cancel-otel-demo"


@pytest.mark.long
def test_a_collector_that_is_not_there_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    ended = demo("--ways", "completed", "--providers", "openai", "--otlp", endpoint)
    assert ended.returncode == 1
    assert f"not sent: {endpoint}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_collector_that_takes_metrics_and_no_traces_is_told_apart() -> None:
    with OtlpSink(refused={"/v1/traces"}) as sink:
        ways = ("--ways", "cancel-body", "--providers", "openai")
        ended = demo(*ways, "--otlp", sink.http_endpoint)
    assert ended.returncode == 1
    assert "not all sent" in ended.stderr
    assert "of traces" in ended.stderr
    assert "of metrics" not in ended.stderr


@needs_prometheus
def test_metrics_are_served_for_a_scrape_until_ctrl_c() -> None:
    read, write = os.pipe()
    args = ("demo", *QUICK, "--prometheus", "0")
    with (
        os.fdopen(read) as told,
        os.fdopen(write, "w") as stderr,
        warm.started(
            warm.COMMAND_LINE, *args, env=environment(), stderr=stderr.fileno()
        ) as running,
    ):
        stderr.close()
        said = list(_until(told, "still serving"))
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/metrics", "".join(said))
        with urllib.request.urlopen(url, timeout=BACKSTOP) as answer:
            scraped = answer.read().decode()
        running.send_signal(signal.SIGINT)
        rest = told.read()
        assert running.wait(BACKSTOP) == 128 + signal.SIGINT
    assert "Traceback" not in rest
    calls = re.findall(r"^litellm_cancel_calls_total\{.*\} (\S+)$", scraped, re.MULTILINE)
    assert sum(map(float, calls)) == 6


@needs_prometheus
def test_serving_ends_by_itself_where_that_is_wanted() -> None:
    ended = demo(*QUICK, "--prometheus", "0", "--for", "0.1")
    assert ended.returncode == 0, ended.stderr
    assert "still serving, for 0.1 s" in ended.stderr


@needs_prometheus
def test_a_port_that_is_taken_is_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = demo(*QUICK, "--prometheus", str(port))
    assert ended.returncode == 2
    assert f"port {port} of 127.0.0.1: address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_load_says_in_one_line_what_was_paid_for_nobody() -> None:
    ended = demo("--load", "0.1", "--providers", "openai")
    assert ended.returncode == 0, ended.stderr
    *_, last = ended.stdout.splitlines()
    assert re.match(r"sent for nobody: \$\d+\.\d{6} of output tokens", last)


def test_a_load_counts_every_call_it_makes() -> None:
    ended = demo("--load", "3", "--rate", "40", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    made, calls = found["made"], found["totals"]["calls"]
    assert sum(made.values()) == sum(calls.values()) > 60
    assert calls["error"] == made["refused"]
    assert made["completed"] + made["body"] <= calls["completed"]
    assert found["totals"]["internal_errors"] == found["totals"]["streams_open"] == 0
    assert made["saved"] > 0
    assert found["totals"]["cost_undelivered"] > 0


async def test_a_run_without_the_package_is_truly_without_it() -> None:
    runner = Runner([WAYS["completed"]], ["openai"])
    assert seams_are_out()
    with CancelTelemetry():
        assert not seams_are_out()
        with pytest.raises(SeamsInstalledError):
            await runner.without()
    assert seams_are_out()


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydantic's, of LiteLLM's types
async def test_a_run_leaves_the_callbacks_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[Any] = []
    monkeypatch.setattr(litellm, "callbacks", before)
    (record,) = await Runner([WAYS["completed"]], ["openai"]).without()
    assert (record.got.name, record.callbacks) == ("answer", ("success",))
    assert record.span is None
    assert litellm.callbacks is before


def _until(lines: Iterator[str], text: str) -> Iterator[str]:
    for line in lines:
        yield line
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}")


def test_the_page_explains_every_way() -> None:
    page = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")
    explained = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", page, re.MULTILINE))
    ways = {name: way.title for name, way in WAYS.items()}
    assert explained == ways | {leaving.name: leaving.title for leaving in LEAVINGS}
