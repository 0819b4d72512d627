"""The pytest plugin in suites of users': the documentation's examples, and what it leaves alone."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import children

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
APPLICATIONS = Path(__file__).parent / "applications"
PAGE = ROOT / "docs" / "testing.md"
PLUGIN = "litellm_cancel_otel.pytest_plugin"
EXAMPLES = dict(
    re.findall(r"<!-- (test_\w+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
)

Suite = Callable[..., children.Ended[str]]


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Run a suite of a user's with this project's warnings, all of which are errors."""

    def run(*options: str, **files: str) -> children.Ended[str]:
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
        command += ["--rootdir", str(tmp_path), "-p", PLUGIN, "-p", "no:cacheprovider", "-q"]
        return children.run([*command, *options, str(tmp_path)], cwd=tmp_path, timeout=300)

    return run


def assert_passes(ended: children.Ended[str], count: int) -> None:
    """Assert that so many tests passed, and that nobody complained."""
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{count} passed" in ended.stdout
    assert "warning" not in ended.stdout
    assert ended.stderr == ""


def test_the_pages_examples_pass_side_by_side(suite: Suite) -> None:
    pytest.importorskip("xdist")
    assert_passes(suite("-n", "2", **EXAMPLES), 3)


FAILING = f"""
import sys
import pytest
sys.path.insert(0, {str(APPLICATIONS)!r})
import shop

BODY = {{"text": "hello", "stream": True}}

def test_late(litellm_app):
    served = litellm_app(shop.wrapped)
    with pytest.raises(AssertionError) as failed:
        served.assert_unwound("POST /chat", within=0.5, body=BODY, ways=["reset"])
    said = str(failed.value)
    assert "POST /chat is not unwound within 0.5 s" in said
    assert "stopped reading, reset: the finally did not run" in said
    assert '@app.middleware("http") passing' in said
    assert "CancellationMiddleware: missing" in said

def test_synchronous(litellm_app):
    served = litellm_app(shop.synchronous)
    left = served.leave("GET /sync", "after-first-chunk")
    assert not left.seen
    assert left.closed_after is None
    with pytest.raises(AssertionError, match="its LiteLLM call is synchronous"):
        served.assert_unwound("GET /sync", ways=["after-first-chunk"])

@pytest.mark.parametrize(
    ("route", "why"),
    [("GET /secret", "answers 401"), ("chat", "is no route"), ("GET /whole", "in one piece")],
)
def test_unfit(litellm_app, route, why):
    with pytest.raises(AssertionError, match=why):
        litellm_app(shop.faulty).assert_unwound(route)

def test_unready(litellm_app):
    with pytest.raises(AssertionError, match="does not start: RuntimeError: no database"):
        litellm_app(shop.unready)

def test_unknown_way(litellm_app):
    with pytest.raises(ValueError, match="no way is called 'fast'"):
        litellm_app(shop.bare).leave("POST /chat", "fast", body=BODY)
"""


def test_the_pages_examples_pass_and_what_is_late_or_unfit_fails_with_the_reason(
    suite: Suite,
) -> None:
    assert set(EXAMPLES) == {"test_fastapi", "test_starlette", "test_calls"}
    assert_passes(suite(**EXAMPLES, test_failing=FAILING), 3 + 7)


BYSTANDER = """
import os
import sys
import threading

BEFORE = dict(os.environ)

def test_nothing_is_loaded():
    assert not {"litellm", "uvicorn", "starlette", "h11"} & sys.modules.keys()

def test_the_fixture_is_used(litellm_fake_provider):
    import httpx
    import litellm
    litellm.httpx_send = httpx.AsyncClient.send
    assert os.environ["OPENAI_API_BASE"].startswith(litellm_fake_provider.base_url)

def test_everything_is_put_back():
    import httpx
    import litellm
    assert httpx.AsyncClient.send is not litellm.httpx_send
    assert {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"} == {
        k: v for k, v in BEFORE.items() if k != "PYTEST_CURRENT_TEST"
    }
    assert [one.name for one in threading.enumerate() if "fake" in one.name] == []
"""


def test_a_suite_that_asks_for_nothing_gets_nothing(suite: Suite) -> None:
    assert_passes(suite("-p", "no:anyio", test_bystander=BYSTANDER), 3)


MISSING = """
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "uvicorn":
            raise ModuleNotFoundError(name, name="uvicorn")

sys.meta_path.insert(0, Without())

def test_missing(litellm_app): ...
"""


def test_a_missing_extra_is_one_line(suite: Suite) -> None:
    ended = suite(test_missing=MISSING)
    assert ended.returncode == 1
    assert "needs uvicorn: pip install 'litellm-cancel-otel[demo]'" in ended.stdout
    assert "Traceback" not in ended.stdout
