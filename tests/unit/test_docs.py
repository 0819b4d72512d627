"""What the documentation says of the code, held against the code."""

import re
from pathlib import Path

import pytest

from litellm_cancel_otel._contract import semconv, settings
from support.pages import anchors

ROOT = Path(__file__).parents[2]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")


def between(text: str, name: str) -> str:
    found = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", text, re.DOTALL)
    assert found, f"no <!-- {name}:begin --> … <!-- {name}:end -->"
    return found[1]


def test_the_settings_page_shows_every_setting_as_it_is() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    assert between(page, "table") == "\n" + settings.markdown_table() + "\n"


def test_the_readmes_first_two_sh_blocks_are_one_line_each() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.DOTALL)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 for block in blocks)
    assert "litellm-cancel-otel demo" in blocks[0]
    assert "pytest" in blocks[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if "://" not in target:
            place = page.parent / target if target else page
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), f"{target}#{anchor}"


def test_the_index_of_the_documentation_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    led = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text())}
    assert {*PAGES} - {index} <= led


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    package = ROOT / "src" / "litellm_cancel_otel"
    text = page.read_text()
    named = {package / one for one in re.findall(r"(?<![\w/])_[a-z]+/[a-z_]+\.py\b", text)}
    named |= {ROOT / one for one in re.findall(r"(?<![\w/])tests/[\w/]+\.py\b", text)}
    assert [str(one) for one in named if not one.exists()] == []


def test_the_readme_names_only_metrics_that_exist() -> None:
    names = {metric.name for metric in semconv.METRICS}
    table = re.findall(r"^\| `(litellm_cancel\.[\w.]+)`", (ROOT / "README.md").read_text(), re.M)
    assert table
    assert set(table) <= names


def test_the_page_of_the_span_names_every_attribute_and_event() -> None:
    page = (ROOT / "docs" / "span.md").read_text()
    of_spans = re.compile(r"(litellm_cancel|litellm|gen_ai|server|error)\.|cancellation_type")
    texts = {name: one for name, one in vars(semconv).items() if isinstance(one, str)}
    cells = "".join(re.findall(r"^\| (`[^|]*) \|", page, re.M))
    assert set(re.findall(r"`([\w.]+)`", cells)) == {
        one for name, one in texts.items() if name.isupper() and of_spans.match(one)
    }
    events = {one for name, one in texts.items() if name.startswith("EVENT_") and "." not in one}
    (told,) = re.findall(r"^The events are (.*?)\. ", page, re.M)
    assert set(re.findall(r"`(\w+)`", told)) == events
