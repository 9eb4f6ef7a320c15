"""Another version of a module than a go.mod of ours pins: the go.mod that it would have had."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OLDEST = (1, 34)
"""The first minor release that images/kubernetes/main.go can be built with.

Since then kubelet's NewKubeletCommand takes a context.
"""
UNPUBLISHED = "v0.0.0"
"""How Kubernetes' go.mod requires its own parts, which lie in its repository (staging/)."""


def pinned(module: str, source: Path) -> str:
    """Return the version that a folder's go.mod requires of a module; empty where it does not."""
    lines = (source / "go.mod").read_text().splitlines()
    rows = (line.removeprefix("require ").split() for line in lines)
    return next((row[1] for row in rows if len(row) > 1 and row[0] == module), "")


def repin(module: str, version: str, source: Path, go: Callable[..., str]) -> None:
    """Write the go.mod of a folder anew so that it requires this version of a module of Kubernetes.

    The parts in its repository are published for each release, v1.35.4's as v0.35.4. Of ours stay
    the other modules that the program itself imports (etcd, in the version that was tried); what
    they in turn need, Go finds by their own go.mod, and proves by its checksum database: the old
    go.sum says nothing of it. `go` runs Go in the folder and gives what it says.
    """
    asked = go("mod", "download", "-json", f"{module}@{version}")
    theirs = _edit(go, json.loads(asked)["GoMod"])
    parts = [row["Path"] for row in theirs["Require"] if row["Version"] == UNPUBLISHED]
    ours = _edit(go, "go.mod")
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
        *(f"require {path} {wanted}" for path, wanted in direct.items()),
        *(f"replace {path} => {path} {family}" for path in parts),
    ]
    (source / "go.mod").write_text("\n".join(lines) + "\n")
    (source / "go.sum").unlink(missing_ok=True)


def _edit(go: Callable[..., str], path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(go("mod", "edit", "-json", path))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in version.split(".") if word.isdigit())
