"""Changing a go.mod of ours to another version of the module that it pins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLDEST = (1, 34)
"""The first minor release that images/kubernetes/main.go can be built with: from it on, kubelet's
NewKubeletCommand takes a context."""
UNPUBLISHED = "v0.0.0"
"""The version by which Kubernetes' go.mod requires its own parts, which lie in its repository
(staging/)."""


def pinned(module: str, source: Path) -> str:
    """Return the version of a module that a folder's go.mod requires; "" if it requires none."""
    lines = (source / "go.mod").read_text().splitlines()
    rows = (line.removeprefix("require ").split() for line in lines)
    return next((row[1] for row in rows if len(row) > 1 and row[0] == module), "")


def repin(module: str, version: str, source: Path, go: Callable[..., str]) -> None:
    """Rewrite a folder's go.mod so that it requires this version of Kubernetes' module.

    `go` runs Go in the folder and returns what it prints. The parts in Kubernetes' repository are
    published for each release, those of v1.35.4 as v0.35.4. Of our own requirements the modules
    stay that the program itself imports (etcd, in the version that was tested). Go finds what they
    need in turn by their own go.mod, and proves it by its checksum database, since the old go.sum
    does not list it.
    """
    downloaded = json.loads(go("mod", "download", "-json", f"{module}@{version}"))
    theirs = _go_mod(go, downloaded["GoMod"])
    parts = [row["Path"] for row in theirs["Require"] if row["Version"] == UNPUBLISHED]
    ours = _go_mod(go, "go.mod")
    family = "v0" + version.removeprefix("v1")
    versions = {module: version, **dict.fromkeys(parts, family)}
    direct = {
        row["Path"]: versions.get(row["Path"], row["Version"])
        for row in ours["Require"]
        if not row.get("Indirect")
    }
    lines = [
        f"module {ours['Module']['Path']}",
        f"go {max(ours['Go'], theirs['Go'], key=_numbers)}",
        *(f"require {path} {required}" for path, required in direct.items()),
        *(f"replace {path} => {path} {family}" for path in parts),
    ]
    (source / "go.mod").write_text("\n".join(lines) + "\n")
    (source / "go.sum").unlink(missing_ok=True)


def _go_mod(go: Callable[..., str], path: str) -> dict[str, Any]:
    """Read a go.mod, in the shape of `go mod edit -json`."""
    content: dict[str, Any] = json.loads(go("mod", "edit", "-json", path))
    return content


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
