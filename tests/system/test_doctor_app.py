"""``litellm-cancel-otel doctor --app``: what it says of applications, and that nothing is left."""

import json
import os
import select
import socket
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from litellm_cancel_otel._appcheck import installed
from litellm_cancel_otel._appcheck.ways import NAMES
from litellm_cancel_otel._cli import main
from support.telemetry import OLD

APPLICATIONS = Path(__file__).parent / "applications"
LENIENT = ("--within", "0.5")
"""What goes wrong here takes seconds; the machine may be busy."""

by_itself = pytest.mark.skipif(OLD, reason="this LiteLLM closes no provider's connection by itself")


class Said(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Return what was said with ``--json``."""
        return json.loads(self.out)


Doctor = Callable[..., Said]


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Doctor:
    """Run the command in the applications' folder; no process of theirs may be left behind it."""

    def run(*arguments: str, **environ: str) -> Said:
        monkeypatch.chdir(APPLICATIONS)
        pids = tmp_path / "pids"
        monkeypatch.setenv("SHOP_PIDS", str(pids))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        code = main(["doctor", *arguments])
        for pid in pids.read_text().split() if pids.exists() else ():
            assert_ends(int(pid))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def assert_ends(pid: int) -> None:
    """Assert that a process, which was killed just now, is no more."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 10)[0], "a process is left running"
    finally:
        os.close(process)


@by_itself
def test_a_good_application_is_within_its_limits(doctor: Doctor) -> None:
    said = doctor("--app", "shop:bare", "--json", *LENIENT)
    found = said.document()
    assert (said.code, found["problems"], said.err) == (0, [], "")
    (route,) = found["routes"]
    assert route["route"] == "POST /chat"
    assert tuple(route["ways"]) == NAMES
    for way in route["ways"].values():
        assert way["finally"] <= 0.5
        assert way["upstream_close"] <= 1
    assert found["package"] is False
    assert route["cancellation_middleware"] == "missing"


@by_itself
@pytest.mark.long
def test_a_late_finally_is_named_with_what_is_in_the_way(doctor: Doctor) -> None:
    said = doctor("--app", "shop:wrapped", *LENIENT)
    assert said.code == 1
    assert "POST /chat: stopped reading, reset: the finally did not run" in said.out
    assert "POST /chat: stopped reading, reset: the provider's connection stayed open" in said.out
    assert said.out.count('@app.middleware("http") passing') == 3
    assert "CancellationMiddleware: missing; call app.add_middleware" in said.out
    assert said.out.endswith("--with-package shows it with it\n")
    assert said.out.count("LATE") == 1


@pytest.mark.parametrize(
    "arguments", [("shop:wrapped", "--with-package"), ("shop:cured",)], ids=["lent", "its own"]
)
@pytest.mark.long
def test_the_package_makes_it_good(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    said = doctor("--app", *arguments, "--json", *LENIENT)
    found = said.document()
    assert (said.code, found["problems"]) == (0, [])
    assert found["package"] is True
    ours = found["routes"][0]["cancellation_middleware"]
    assert ours == ("outermost" if arguments == ("shop:cured",) else "missing")


@pytest.mark.long
def test_each_route_that_cannot_be_checked_is_named_with_its_reason(doctor: Doctor) -> None:
    said = doctor("--app", "shop:faulty")
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    for why in (
        "GET /secret answers 401: it wants credentials, which are given with --header",
        "GET /broken answers 500: ValueError: the database is away",
        "GET /whole never streams: its answer comes in one piece",
        "GET /clock streams, but makes no streamed LiteLLM call",
        "GET /elsewhere asks a provider that has no fake here",
    ):
        assert why in said.err
    assert said.err.endswith("name one with --route and --body\n")


@pytest.mark.long
def test_a_route_that_is_named_must_be_checkable(doctor: Doctor) -> None:
    said = doctor("--app", "shop:bare", "--route", "POST /chat", "--body", "{}")
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "POST /chat answers 422: the request does not fit, give one that does with --body\n"
    )


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("nosuch:app", 'Could not import module "nosuch": name it as uvicorn takes it'),
        *(
            pytest.param(*one, marks=pytest.mark.long)
            for one in (
                (
                    "shop:nosuch",
                    'Attribute "nosuch" not found in module "shop": name it',
                ),
                ("shop", 'Import string "shop" must be in format "<module>:<attribute>"'),
                ("shop:MESSAGES", "shop:MESSAGES is no ASGI application, but list"),
                ("shop:unready", "the application does not start: RuntimeError: no database"),
            )
        ),
    ],
)
def test_an_application_that_does_not_start_is_one_line(doctor: Doctor, app: str, why: str) -> None:
    said = doctor("--app", app)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(why)


@pytest.mark.long
def test_an_application_that_raises_at_its_import_is_one_line(doctor: Doctor) -> None:
    said = doctor("--app", "shop:bare", SHOP_IS_CLOSED="1")
    assert (said.code, said.out) == (2, "")
    assert said.err == "shop:bare does not import: ImportError: the shop is closed\n"


@pytest.mark.long
def test_an_application_that_ends_its_process_is_one_line(doctor: Doctor) -> None:
    said = doctor("--app", "shop:bare", SHOP_LEAVES="1")
    assert (said.code, said.out) == (2, "")
    assert said.err == "shop:bare ended while it started: the shop leaves\n"


def test_a_port_in_use_is_one_line(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = doctor("--app", "shop:bare", "--port", str(port))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"port {port} cannot be used (")
    assert said.err.endswith("): leave --port out for a free one\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--route", "chat"), "'chat' is no route: write it as 'POST /chat'\n"),
        (("--header", "secret"), "a header is written as 'Name: value'\n"),
        (
            ("--route", "/a", "--route", "/b", "--body", "1", "--body", "2", "--body", "3"),
            "give --body once, or once for each --route and in their order\n",
        ),
    ],
)
def test_a_wrong_option_is_one_line(doctor: Doctor, arguments: tuple[str, ...], why: str) -> None:
    said = doctor("--app", "shop:bare", *arguments)
    assert said == (2, "", why)


@pytest.mark.parametrize("arguments", [(), ("--app", "shop:bare")])
@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "litellm is not installed: pip install 'litellm>=1.72.2'\n"),
        (
            "1.60.5",
            "litellm 1.60.5 is older than any that is supported: pip install 'litellm>=1.72.2'\n",
        ),
    ],
)
def test_without_a_litellm_that_serves_it_is_one_line(
    doctor: Doctor,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    found: str | None,
    why: str,
) -> None:
    def version(_: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(installed, "version", version)
    assert doctor(*arguments) == (2, "", why)


@pytest.mark.parametrize("missing", ["h11", "starlette", "uvicorn"])
def test_a_missing_extra_is_one_line(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    said = doctor("--app", "shop:bare")
    needs = f"litellm-cancel-otel doctor needs {missing}: pip install 'litellm-cancel-otel[demo]'\n"
    assert said == (2, "", needs)
