"""The house: imports go down, every outside package has one door, files stay small enough to be read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lab"
FLOORS = (
    "base",
    "topology engine kube",
    "nodes images analysis",
    "live host",
    "chaos measure addons",
    "lifecycle",
    "scenarios",
    "cli",
    "__main__",
)
"""From the ground up. A package imports from floors below its own, never from its own floor."""
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
DOORS = {
    "docker": {"engine"},
    "yaml": {"base/yaml_files.py"},
    "kubernetes": {"kube/api.py"},
    "click": {"cli"},
    "rich": {"cli"},
    "cryptography": {"kube/pki.py"},
    "matplotlib": {"analysis/report/picture.py"},
    "jinja2": {"analysis/report/write.py"},
    "requests": {"images"},
    "filelock": {"base/locks.py", "images", "kube/kubeconfig.py"},
    "platformdirs": {"base/paths.py"},
}
MODULES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return what a module imports when it runs: imports for the type checker alone do not count."""
    found = set()

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            found.update(
                {f"lab.{alias.name}" for alias in node.names}
                if node.module == "lab"
                else {node.module or ""}
            )

    Visitor().visit(ast.parse(path.read_text()))
    return found


def module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = module(path)
    if own == "__init__":
        assert imports(path) <= {"__future__"}
        return
    inside = {name.split(".")[1] for name in imports(path) if name.startswith("lab.")}
    for other in inside - {own, "__version__"}:
        assert FLOOR[other] < FLOOR[own], f"{own} imports {other}, which does not stand below it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_outside_packages_have_one_door(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    for name in {name.split(".")[0] for name in imports(path)} & set(DOORS):
        assert any(place == door or place.startswith(f"{door}/") for door in DOORS[name]), (
            f"{place} imports {name}"
        )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
