"""The house: imports go down, every outside package has one door, files stay small enough to be read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lab"
FLOORS = {
    0: "base finding spec plan desired pki pacemaker nginx nodefiles kubeunits k3s_config "
    "k3s_keys k3s_release topology history milestones samples expectations "
    "doctor_wire doctor_realtime realtime fencings",
    1: "engine node kube fetch components gobuild gomodules available images imagework "
    "k3s_image versions podimages addonrecord addonneeds privilege vault host kernel "
    "kubeconfig runs journals membership "
    "cibaudit etcd",
    2: "roles distributions addons helm faults probes checkers phases report",
    3: "lab apply ready enable bundles choose doctor doctor_fix doctor_host status targets chaos "
    "power scenario verify trials probing probe_target listening cephtrial rehearsal boot rejoin "
    "networks removal",
    4: "cli __main__ __init__",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
# `desired` asks roles for their parts and names containers as node does; `vault` is named by desired's volume: pure both.
EXCEPTIONS = {("desired", "roles"), ("desired", "node"), ("vault", "desired"), ("pacemaker", "distributions")}
DOORS = {
    "docker": {"engine"},
    "yaml": {"base/yaml_files.py"},
    "kubernetes": {"kube.py"},
    "click": {"cli"},
    "rich": {"cli"},
    "cryptography": {"pki.py"},
    "matplotlib": {"report/picture.py"},
}
MODULES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Give what a module imports when it runs: imports for the type checker alone do not count."""
    found = set()

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            found.update({f"lab.{alias.name}" for alias in node.names} if node.module == "lab" else {node.module or ""})

    Visitor().visit(ast.parse(path.read_text()))
    return found


def module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_or_stay(path: Path) -> None:
    own = module(path)
    assert own in FLOOR, f"{own} stands on no floor: put it on one"
    for name in imports(path):
        if name.startswith("lab.") and (other := name.split(".")[1]) in FLOOR and (own, other) not in EXCEPTIONS:
            assert FLOOR[other] <= FLOOR[own], f"{own} (floor {FLOOR[own]}) imports {other} (floor {FLOOR[other]})"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_outside_packages_have_one_door(path: Path) -> None:
    place = str(path.relative_to(ROOT))
    for name in {name.split(".")[0] for name in imports(path)} & set(DOORS):
        assert any(place == door or place.startswith(f"{door}/") for door in DOORS[name]), f"{place} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
