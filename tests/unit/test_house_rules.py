"""Rules of the house that ruff has no rule for: names that are unique, lines that read at once.

That files stay small and imports go down is held by test_layers.py.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "lab"

NEAREST_NAME = "base/suggest.py"
"""The one module that looks for the name that was meant."""


@dataclass(frozen=True, slots=True)
class Module:
    """What the rules look at."""

    classes: list[str]
    nested: list[int]
    imported: set[str]


@cache
def modules() -> dict[str, Module]:
    """Return all of lab/, by path. Each is parsed once, and no tree is kept."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        one = Module(public_classes(tree), nested_conditionals(tree), imported(tree))
        found[str(path.relative_to(ROOT))] = one
    return found


def public_classes(tree: ast.Module) -> list[str]:
    """Return the public classes that a module defines; those within a function are its own."""
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def nested_conditionals(tree: ast.AST) -> list[int]:
    """Return the lines of conditional expressions that have another one anywhere within."""
    outer = [node for node in ast.walk(tree) if isinstance(node, ast.IfExp)]
    return [node.lineno for node in outer if _has_inner(node)]


def _has_inner(node: ast.IfExp) -> bool:
    return any(isinstance(inner, ast.IfExp) and inner is not node for inner in ast.walk(node))


def imported(tree: ast.AST) -> set[str]:
    """Return what a module imports, wherever it does."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_public_classes_have_names_of_their_own() -> None:
    """One name means one thing: whoever searches for a class finds it."""
    places: dict[str, list[str]] = defaultdict(list)
    for place, one in modules().items():
        for name in one.classes:
            places[name].append(place)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_conditional_expressions_hold_no_other() -> None:
    """Write `if` statements instead, or a function with a name."""
    assert {place: one.nested for place, one in modules().items() if one.nested} == {}


def test_names_that_were_meant_are_looked_for_in_one_module() -> None:
    places = {place for place, one in modules().items() if "difflib" in one.imported}
    assert places == {NEAREST_NAME}


def test_unit_tests_lie_in_the_folders_of_what_they_test() -> None:
    """Whoever looks for the tests of a module finds them by its path."""
    tests = Path(__file__).parent
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    assert len(folders) > 20
    sources = (ROOT, tests.parent)  # tests/bench has pure parts, too
    strays = {
        str(folder)
        for folder in folders
        if not any((source / folder).is_dir() for source in sources)
    }
    assert strays == set()


def test_rules_see_what_they_forbid() -> None:
    """A rule that finds nothing anywhere would pass, too."""
    tree = ast.parse(
        "x = (a if b else c) if d else e\ny = [a if b else c for b in (d if e else f)]"
    )
    assert nested_conditionals(tree) == [1]
    assert nested_conditionals(ast.parse("x = a if b else [c if d else e for d in f]")) == [1]
    assert nested_conditionals(ast.parse("x = (a if b else c) + (d if e else f)")) == []
    assert imported(ast.parse("def f():\n    import difflib")) == {"difflib"}
    assert public_classes(ast.parse("class A: ...\nclass _B: ...")) == ["A"]
