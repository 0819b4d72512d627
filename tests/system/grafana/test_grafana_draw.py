"""The pictures: every panel of every dashboard can be drawn, with data and without any."""

import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grafana_boards import boards
from grafana_load import Loaded
from grafana_stack import ROOT, Prometheus, program

sys.path.append(str(ROOT / "grafana" / "tools"))  # a tool, and no part of the package

from draw.__main__ import picture
from draw.data import Source
from draw.page import page
from draw.units import shown


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that knows nothing."""
    with Prometheus(tmp_path_factory.mktemp("nothing"), {}) as prometheus:
        yield prometheus


def source(prometheus: Prometheus) -> Source:
    """Return the last minute of a Prometheus."""
    now = time.time()
    return Source(prometheus.url, now - 60, now, 0.5, {"provider": "azure.ai.openai"})


@pytest.mark.parametrize("name", boards())
@pytest.mark.long
def test_a_dashboard_is_drawn(name: str, loaded: Loaded) -> None:
    html, height = page(boards()[name], source(loaded.prometheus), 1280)
    assert html.count('class="panel"') == sum(p["type"] != "row" for p in boards()[name]["panels"])
    assert height > 1000


@pytest.mark.parametrize("name", boards())
def test_a_dashboard_without_data_says_so_and_shows_no_zero(name: str, nothing: Prometheus) -> None:
    html, _ = page(boards()[name], source(nothing), 1280)
    assert html.count('class="none"') == html.count('class="panel"')


@pytest.mark.long
def test_chromium_takes_the_picture(tmp_path: Path, loaded: Loaded) -> None:
    program("chromium", "chromium-browser")
    html, height = page(boards()["overview"], source(loaded.prometheus), 1280)
    picture(html, tmp_path / "picture.png", 1280, height)
    png = (tmp_path / "picture.png").read_bytes()
    assert struct.unpack(">II", png[16:24]) == (1280, height)
    assert len(png) > 50_000


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (158.0, "s", "2.63 mins"),
        (0.154, "percentunit", "15.4%"),
        (0.25, "suffix:/s", "0.25/s"),
        (100.0, "si:s", "100 s"),
        (0.001, "si:s", "1 ms"),
        (2000.0, "si:s", "2 ks"),
        (150.0, "suffix: s", "150 s"),
        (12_345.0, "short", "12.3 K"),
        (0.25, "currencyUSD", "$0.25"),
        (float("nan"), "s", "-"),
    ],
)
def test_a_number_is_shown_with_its_unit(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
