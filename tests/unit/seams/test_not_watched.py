"""What the documentation lists as not watched is what the code lists."""

from pathlib import Path

from litellm_cancel_otel._seams import not_watched

PAGE = Path(__file__).parents[3] / "docs" / "how-it-works.md"


def test_the_page_shows_the_table_as_it_is() -> None:
    _, _, rest = PAGE.read_text().partition("<!-- not-watched:begin -->\n")
    shown, end, _ = rest.partition("<!-- not-watched:end -->")

    assert end
    assert shown == f"\n{not_watched.markdown()}\n\n"


def test_every_name_has_a_reason_and_stands_in_the_table() -> None:
    table = not_watched.markdown()
    names = [*not_watched.FUNCTIONS, *not_watched.ROUTER, *not_watched.PACKAGES]

    assert all(f"{name}`" in table for name in names)
    assert all({**not_watched.FUNCTIONS, **not_watched.ROUTER, **not_watched.PACKAGES}.values())
