"""An incident from the alert to the application's line, as the runbook has it; nothing restarts."""

import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from grafana_boards import RULES
from grafana_stack import GRAFANA, Prometheus, impatient, wait_until

from litellm_cancel_otel._demo import stuck
from support import children

BACKSTOP = 60
COMMAND = (sys.executable, "-m", "litellm_cancel_otel")
RUNBOOK = GRAFANA.parent / "docs" / "runbook.md"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        find_spec("prometheus_client") is None, reason="the extra `prometheus` is not installed"
    ),
]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of an application and of its operator, who sets nothing."""
    ours = ("OTEL_", "LITELLM_CANCEL_OTEL_", "COLUMNS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**inherited, "XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.fixture
def hanging(environ: dict[str, str]) -> Iterator[tuple[int, int]]:
    """A process with a stuck stream: its id, and the port of its metrics."""
    with children.started(
        [*COMMAND, "demo", "--stuck", "600", "--providers", "azure", "--prometheus", "0"],
        env=environ,
        stdout=children.DEVNULL,
        stderr=children.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        said = ""
        while "a stream hangs" not in said:
            assert running.poll() is None, said
            said += running.stderr.readline()
        (found,) = re.findall(r"127\.0\.0\.1:(\d+)/metrics", said)
        yield running.pid, int(found)


def firing(prometheus: Prometheus, name: str) -> dict[str, str]:
    """Return the labels of an alert that is firing; none of one that is not."""
    (found,) = prometheus.alerts().get(name) or ({"state": "inactive"},)
    return found["labels"] if found["state"] == "firing" else {}


def test_from_the_alert_to_the_applications_line(
    environ: dict[str, str], hanging: tuple[int, int], tmp_path: Path
) -> None:
    pid, port = hanging
    rules = impatient(RULES, tmp_path / "rules")
    with Prometheus(tmp_path / "prometheus", {"demo": port}, rules=rules) as prometheus:
        alert = wait_until("alert", lambda: firing(prometheus, "LitellmCancelStreamsStuck"))
    assert alert["reason"] == "no_chunk"

    # As the runbook says, and with the alert's own name of the provider. Other tests' processes may
    # be found beside this one.
    ended = children.run([*COMMAND, "top", str(pid)], env=environ, timeout=BACKSTOP)
    assert ended.returncode == 0, ended.stderr
    title, stream, line, *_ = ended.stdout.splitlines()
    assert "1 open · 1 stuck" in title
    assert stream.startswith("no_chunk ")
    assert alert["gen_ai_provider_name"] + "/" in stream
    found = re.fullmatch(r"  → litellm_cancel_otel/_demo/stuck\.py:(\d+) answer", line)
    assert found, line
    source = Path(stuck.__file__).read_text().splitlines()
    assert "async for chunk in stream" in source[int(found[1]) - 1]


def test_the_runbook_says_what_was_done() -> None:
    section = RUNBOOK.read_text().partition("## Stuck streams")[2].partition("\n## ")[0]
    assert "```sh\nlitellm-cancel-otel top\n```" in section
    assert "→" in section
