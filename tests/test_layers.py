"""Imports go in one direction, and only a few modules know LiteLLM or OpenTelemetry."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import litellm_cancel_otel

PACKAGE = "litellm_cancel_otel"
ROOT = Path(litellm_cancel_otel.__file__).parent

FOLDERS = ("_dashboards", "_demo", "_top")
"""Programs of their own, each of modules that may import one another."""

ORDER = [
    *("_semconv", "_plain", "_records", "_faults", "_setting_kinds", "_settings"),
    *("_classify", "_timeline", "_overdue"),
    *("_evidence", "_await_chain", "_upstream", "_sink", "_call", "_waiting"),
    *("_consumers", "_request", "_unguarded", "_guard"),
    *("_board", "_instruments", "_spans", "_recorder"),
    *(
        "_loop_lag",
        "_stuck_log",
        "_watch",
        "_watchdog",
        "_notes",
        "_tracker",
        "_snapshot",
        "_feed",
    ),
    "_export",
    *("errors", "_guarded", "handling", "provider"),
    *("_seams.active", "_seams.patching", "_seams.facts", "_seams.internal", "_seams.deadlines"),
    *(
        "_seams.steps",
        "_seams.streams",
        "_seams.attempts",
        "_seams.calls",
        "_seams.azure",
        "_seams.upstream",
    ),
    "_seams",
    *("_callback", "_listener", "_shutdown", "_middleware", "_proxy"),
    *FOLDERS,
    *("_doctor", "_cli", "__main__"),
]
"""Each module of the package, or folder of modules, after all that it may import."""

FACE = "__init__"
"""The package's own name imports from the callback and the middleware; nothing imports it."""

KNOW_LITELLM = {"_seams", "errors", "provider", "_callback", "_demo", "_doctor"}
KNOW_TELEMETRY = {
    *("_recorder", "_spans", "_board", "_instruments", "_export", "_tracker", "_callback"),
    *("_demo", "_doctor", "_dashboards", "_cli"),
}


def modules() -> dict[str, Path]:
    """Return every module of the package by its name below the package's."""
    found: dict[str, Path] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """Yield the full name of each module that a module imports, wherever in it it does."""
    path = MODULES[name]
    package = [PACKAGE, *path.relative_to(ROOT).parts[:-1]]
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
    """Return the modules of the package that a module imports."""
    found = {
        one.removeprefix(PACKAGE).removeprefix(".") or FACE
        for one in imports(name)
        if one.partition(".")[0] == PACKAGE
    }
    return found - {name}


def place(name: str) -> int:
    """Return where in the order a module is: at its own name, or at its folder's."""
    while name not in ORDER:
        name, _, last = name.rpartition(".")
        assert name, f"{last} has no place in the order"
    return ORDER.index(name)


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {FACE}))
def test_imports_only_from_layers_before_it(name: str) -> None:
    top = name.partition(".")[0]
    for imported in own(name):
        inside_one_folder = top in FOLDERS and imported.partition(".")[0] == top
        face = imported == FACE and place(name) > place("_proxy")
        assert inside_one_folder or face or place(imported) < place(name), imported


def test_order_names_what_there_is() -> None:
    assert set(ORDER) <= MODULES.keys()


def test_no_cycles() -> None:
    graph = {name: own(name) & MODULES.keys() for name in MODULES}

    assert tuple(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    ("library", "known_to"), [("litellm", KNOW_LITELLM), ("opentelemetry", KNOW_TELEMETRY)]
)
def test_library_is_known_to_few(library: str, known_to: set[str]) -> None:
    knowing = {
        name.partition(".")[0]
        for name in MODULES
        if any(one.partition(".")[0] == library for one in imports(name))
    }

    assert knowing <= known_to
