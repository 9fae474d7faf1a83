"""How the rooms are arranged: imports point one way, and nothing goes in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from checkout import ROOT

ROOMS = (
    ("errors", "brackets", "toml", "observer", "interrupts", "startup", "child"),
    ("files", "strength", "options", "settings", "code", "locks", "remote"),
    ("data.tasks",),
    ("models", "resources"),
    ("data",),
    ("cost", "rewriter", "strategy", "text_strategy"),
    ("registry", "spec"),
    ("rewriting",),
    ("evaluation",),
    ("distill",),
    ("reporting",),
    ("experiment",),
    ("conformance", "profiling"),
    ("cli", "__main__", "docs", "skeletons"),
)
"""From the ground up: a room imports from its own line and those before it."""


def imports(path: Path) -> set[str]:
    """Return the modules of ``bench`` and ``strategies`` that a file imports, inside functions too, not for types."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys() or {node.module}
    return {name for name in found if name.partition(".")[0] in ("bench", "strategies")}


def modules(folder: str) -> dict[str, Path]:
    names = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules("bench") | modules("strategies")


def level(module: str) -> int:
    """Return the number of the line of ``ROOMS`` that a module of ``bench`` is in: the longest name that fits."""
    inside = module.removeprefix("bench.")
    fits = [(len(room), n) for n, line in enumerate(ROOMS) for room in line if f"{inside}.".startswith(f"{room}.")]
    assert fits, f"{module} is in no room"
    return max(fits)[1]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("bench.")])
def test_a_room_imports_from_below_only(module: str) -> None:
    above = {
        other
        for other in imports(MODULES[module])
        if other.startswith("bench.") and other != "bench" and level(other) > level(module)
    }
    assert not above


def test_no_module_is_imported_in_a_circle() -> None:
    # The package's own names are loaded when first used, so a module may say "from bench import …".
    graph = {name: {other for other in imports(path) if other != "bench"} for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()


def test_only_the_registry_knows_that_there_are_strategies() -> None:
    knowing = {
        name: strategies
        for name, path in MODULES.items()
        if name.partition(".")[0] == "bench"
        and (strategies := {m for m in imports(path) if m.startswith("strategies")})
    }
    assert not knowing
    # By the name of the package alone, and by no module of it.
    assert 'import_module("strategies")' in MODULES["bench.registry"].read_text()
