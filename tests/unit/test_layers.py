"""The house: imports go down, outside packages have one door, files are small enough to be read."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement has others; there are no imports within expressions."""


@cache
def imports(path: Path) -> frozenset[str]:
    """Return what a module imports when it runs: not what the type checker alone reads."""
    return frozenset(_imported(ast.parse(path.read_text()).body))


def _imported(statements: list[ast.stmt]) -> Iterator[str]:
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "lab":
            yield from (f"lab.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        for block in ("orelse",) if _is_for_types(node) else BLOCKS:
            yield from _imported(getattr(node, block, []))


def _is_for_types(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


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


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    """A rule that finds nothing anywhere would pass, too."""
    path = tmp_path / "module.py"
    path.write_text(
        "from lab import base\n"
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "class C:\n    def f(self):\n        with x:\n            import c.d\n"
        "try:\n    pass\nexcept E:\n    from . import e\nfinally:\n    import f\n"
        "match x:\n    case 1:\n        import g\n"
    )
    assert imports(path) == {"lab.base", "b", "c.d", "", "f", "g"}
