"""The tree is the architecture: imports go one way, and only some rooms know what they know.

A room is a folder of the package, or a file that stands there by itself. The rules are read from
the tree, and the order of the rooms from what CONTRIBUTING tells its reader.
"""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import litellm_cancel_otel

PACKAGE = "litellm_cancel_otel"
HERE = Path(litellm_cancel_otel.__file__).parent
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"

FACE = ""
"""The package's own ``__init__``: it imports nothing until asked, and only programs use it."""

KNOW = {
    "litellm": {"_seams", "errors", "provider", "_integration", "_demo", "_doctor"},
    "opentelemetry": {
        *("_calls", "_telemetry", "_tracking", "_integration"),
        *("_demo", "_appcheck", "pytest_plugin", "_doctor", "_dashboards", "_cli"),
    },
    "asyncio": {
        *("_asyncio", "_calls", "_tracking", "errors", "handling", "_seams", "_integration"),
        *("_demo", "_appcheck", "_top", "_doctor"),
    },
}
"""The rooms that may import a library."""


def modules() -> dict[str, Path]:
    """Return every module of the package by its name below the package's."""
    found: dict[str, Path] = {}
    for path in sorted(HERE.rglob("*.py")):
        parts = path.relative_to(HERE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield the full name of each module that a module imports, wherever in it it does."""
    path = MODULES[name]
    package = [PACKAGE, *path.relative_to(HERE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                below = f"{whole}.{alias.name}".removeprefix(PACKAGE + ".")
                yield f"{PACKAGE}.{below}" if below in MODULES else whole


def own(name: str) -> set[str]:
    """Return the modules of the package that a module imports, without the package's face."""
    found = {one for one in imports(name) if one.partition(".")[0] == PACKAGE}
    return {one.removeprefix(PACKAGE).removeprefix(".") for one in found} - {name, FACE}


def room(name: str) -> str:
    """Return the room that a module is in."""
    return name.partition(".")[0]


ROOMS = sorted({room(name) for name in MODULES} - {FACE})
NEEDS = {
    one: {room(to) for name in MODULES if room(name) == one for to in own(name)} for one in ROOMS
}


def test_no_import_runs_back_between_rooms() -> None:
    graph = {one: needs - {one} for one, needs in NEEDS.items()}

    assert tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("inside", ROOMS)
def test_no_import_runs_back_within_a_room(inside: str) -> None:
    mine = {name for name in MODULES if room(name) == inside}

    assert tuple(TopologicalSorter({name: own(name) & mine for name in mine}).static_order())


def test_each_room_imports_only_from_rooms_before_it_in_the_row_that_a_reader_is_told() -> None:
    row = re.search(r"^```\n(_contract <.*?)\n```$", CONTRIBUTING.read_text(), re.M | re.DOTALL)
    assert row, "CONTRIBUTING.md shows no row of rooms"
    order = [one.strip() for one in row[1].replace("<", " ").split()]

    assert sorted(order) == sorted(set(ROOMS) - {"__main__"})
    for place, one in enumerate(order):
        assert NEEDS[one] - {one} <= set(order[:place]), one


def test_face_is_used_by_programs_alone() -> None:
    using = {room(name) for name in MODULES if name and PACKAGE in set(imports(name))}

    assert using <= {"_demo", "_top", "_dashboards", "_doctor", "_cli", "__main__"}


def test_folders_that_others_import_from_do_not_open_a_door_of_their_own() -> None:
    """What a room has is imported from the file that has it: a reader finds it by its name."""
    rooms = [HERE / one / "__init__.py" for one in ROOMS]
    doors = [
        path.parent.name for path in rooms if path.exists() and ast.parse(path.read_text()).body[1:]
    ]

    assert doors == ["_seams"]  # which installs and uninstalls what is in it


@pytest.mark.parametrize("library", sorted(KNOW))
def test_library_is_known_to_few(library: str) -> None:
    knowing = {room(name) for name in MODULES if any(room(one) == library for one in imports(name))}

    assert knowing <= KNOW[library]
