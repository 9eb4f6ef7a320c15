"""The house: imports go down, outside packages have one door, files are small enough to be read."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "lab"
FLOORS = (
    "base",
    "topology engine kube",
    "nodes images analysis",
    "live host",
    "chaos measure addons",
    "lifecycle",
    "scenarios watch",
    "lessons",
    "cli testing",
    "__main__",
)
"""From the ground up. A package imports from floors below its own, never from its own floor."""
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names.split()}
DOORS = {
    "docker": {"engine"},
    "yaml": {"base/yaml_files.py"},
    "kubernetes": {"kube/api.py"},
    "urllib3": {"kube/api.py"},
    "click": {"cli"},
    "rich": {"cli", "watch/terminal.py"},
    "cryptography": {"kube/pki.py"},
    "matplotlib": {"analysis/report/picture.py"},
    "jinja2": {"analysis/report/write.py"},
    "requests": {"images"},
    "filelock": {"base/locks.py", "images", "kube/kubeconfig.py"},
    "platformdirs": {"base/paths.py"},
    "pytest": {"testing/plugin.py"},
}
MODULES = sorted(ROOT.rglob("*.py"))


@cache
def imports(path: Path) -> set[str]:
    """Return what a module imports when it runs: not what the type checker alone reads."""
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


def may_import(place: str, name: str) -> bool:
    return any(place == door or place.startswith(f"{door}/") for door in DOORS[name])


def test_imports_go_down() -> None:
    wrong = []
    for path in MODULES:
        own = module(path)
        names = imports(path)
        if own == "__init__":
            assert names <= {"__future__"}
            continue
        inside = {name.split(".")[1] for name in names if name.startswith("lab.")}
        above = {other for other in inside - {own, "__version__"} if FLOOR[other] >= FLOOR[own]}
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in sorted(above)]
    assert wrong == []


def test_outside_packages_have_one_door() -> None:
    wrong = []
    for path in MODULES:
        place = str(path.relative_to(ROOT))
        outside = {name.split(".")[0] for name in imports(path)} & set(DOORS)
        wrong += [f"{place} imports {name}" for name in outside if not may_import(place, name)]
    assert wrong == []


def test_files_are_small() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {place: length for place, length in lengths.items() if length > 400} == {}
