"""The registry: what fits is installed; what does not is taken back, and says what is lost."""

from collections.abc import Iterator

from litellm_cancel_otel._seams.patching import SeamMissing, Undo, replace
from litellm_cancel_otel._seams.seam import Install, Registry, Seam, lines


class Place:
    """Where seams hook in."""

    first = "theirs"
    second = "theirs"


def seam(install: Install, name: str = "a seam") -> Seam:
    return Seam(name, "a method", "nothing is seen", install)


def both() -> Iterator[Undo]:
    yield replace(Place, "first", "ours")
    yield replace(Place, "second", "ours")


def missing() -> Iterator[Undo]:
    yield replace(Place, "first", "ours")
    raise SeamMissing("it is not there")


def failing() -> Iterator[Undo]:
    yield replace(Place, "first", "ours")
    raise ZeroDivisionError("planted")


def test_installing_patches_and_uninstalling_puts_back() -> None:
    registry = Registry()

    assert registry.install([seam(both)]) == []
    assert (Place.first, Place.second) == ("ours", "ours")

    registry.uninstall()
    assert (Place.first, Place.second) == ("theirs", "theirs")


def test_a_seam_that_is_missing_in_part_is_taken_back_whole() -> None:
    registry = Registry()

    (found,) = registry.install([seam(missing)])

    assert Place.first == "theirs"
    assert str(found) == (
        "a seam: it is not there (expected: a method); without it nothing is seen"
    )


def test_a_seam_that_fails_is_taken_back_and_the_next_one_is_installed() -> None:
    registry = Registry()

    (found,) = registry.install([seam(failing), seam(both)])

    assert "ZeroDivisionError('planted')" in str(found)
    assert Place.second == "ours"
    registry.uninstall()
    assert (Place.first, Place.second) == ("theirs", "theirs")


def test_seams_that_are_missing_for_one_reason_share_a_line() -> None:
    names = ("one", "two")
    found = Registry().install([*(seam(missing, name) for name in names), seam(failing, "three")])

    first, second = lines(found)

    assert first.startswith("one, two: it is not there")
    assert second.startswith("three: it failed with")
