"""How binaries are built: with Go alone, for the engine's architecture, on any machine."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from lab.base import paths
from lab.base.progress import Silent
from lab.images import components, go_build, versions
from lab.images.versions import Component

if TYPE_CHECKING:
    from pathlib import Path


class GoDouble:
    """Keeps what Go is asked for, in which environment, and what it would have compiled."""

    def __init__(self, module: Path) -> None:
        self.module = module
        self.asked: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.udp: list[str] = []

    def __call__(
        self, argv: list[str], folder: Path, environment: dict[str, str], _: Component
    ) -> str:
        self.asked.append(argv[1:])
        self.environments.append(environment)
        if argv[1:3] == ["mod", "download"]:
            return json.dumps({"Dir": str(self.module)})
        if argv[1] == "build":
            self.udp = [path.read_text() for path in (folder / "pkg" / "udp").iterdir()]
            (folder / "go.mod").write_text("touched, as Go does it")
        return ""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoDouble:
    module = tmp_path / "module"
    (module / "pkg" / "udp").mkdir(parents=True)
    (module / "main.go").write_text("package main")
    (module / "go.mod").write_text("module example.org/net")
    (module / "pkg" / "udp" / "proxy.c").write_text("int main;")
    (module / "pkg" / "udp" / "proxy_amd64.go").write_text('package udp; import "C"')
    for path in (*module.rglob("*"), module):  # as Go keeps modules
        path.chmod(0o555 if path.is_dir() else 0o444)
    double = GoDouble(module)
    monkeypatch.setattr(go_build, "_go", double)
    monkeypatch.setattr(go_build, "find_go", lambda _: "go")
    monkeypatch.setattr(shutil, "which", lambda _: None)  # no C compiler
    yield double
    for path in (module, *module.rglob("*")):
        path.chmod(0o755)


def test_a_package_that_wants_a_c_compiler_is_left_empty(tmp_path: Path, go: GoDouble) -> None:
    row = Component(
        name="net",
        version="v1",
        module="example.org/net",
        binaries={"net": "."},
        blank=("pkg/udp",),
    )
    components.obtain(row, tmp_path, paths.shipped("images"), "arm64", Silent())
    assert go.asked[0] == ["mod", "download", "-json", "example.org/net@v1"]
    assert go.asked[1][-1] == "./."
    assert go.udp == ["package udp\n"]
    environment = go.environments[1]
    assert (environment["CGO_ENABLED"], environment["GOARCH"]) == ("0", "arm64")
    assert (go.module / "go.mod").read_text() == "module example.org/net", (
        "only the copy is touched"
    )


def test_no_component_wants_a_c_compiler() -> None:
    table = versions.read(paths.shipped("images")).components
    assert [row.name for row in table.values() if row.blank] == ["flannel"]
    assert not hasattr(table["flannel"], "cgo")
