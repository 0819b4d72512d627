"""docs/integrations.md says of each neighbour what the tests beside it expect."""

from pathlib import Path

from neighbours.known import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"


def test_the_page_shows_the_neighbours_as_they_are_known() -> None:
    begin, end = "<!-- neighbours:begin -->", "<!-- neighbours:end -->"
    shown = PAGE.read_text().partition(begin)[2].partition(end)[0]
    assert shown == f"\n\n{markdown_table()}\n"
