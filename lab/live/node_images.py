"""Images in nodes' containerd: what a node has, and how a tar comes into it.

The same for every distribution: K3s's `ctr` knows its own socket.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed, EngineError, LabError
from lab.images import archive, upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lab.engine.node import NodeHandle

CTR = ("ctr", "-n", "k8s.io")
"""containerd's client and the CRI's namespace."""
AT_ONCE = 2
"""Nodes that import side by side: each unpacks with a core of the same machine."""
IMPORT_TIMEOUT_S = 300
CHUNK = 1024 * 1024
STOPPING_S = 5.0
"""The engine says that a machine runs for a moment after it has killed what ran there.

Seen then: 137 of the command that was killed with it, 126 of the next one, which found nothing to
begin on ("error executing setns").
"""
LOOK_S = 0.1
COLUMNS = 3
"""Of `ctr images ls`, those that are always there: name, media type, digest."""


def names(node: NodeHandle) -> frozenset[str] | None:
    """Return the names of the images that a node has; None where it does not run."""
    output = _list(node, "-q")
    return None if output is None else frozenset(output.split())


def digests(node: NodeHandle) -> dict[str, str] | None:
    """Return what a node's images are, name → digest; None where it does not run."""
    output = _list(node)
    if output is None:
        return None
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) >= COLUMNS and row[2].startswith("sha256:")}


def _list(node: NodeHandle, *options: str) -> str | None:
    try:
        return node.run([*CTR, "images", "ls", *options]).output
    except LabError:
        if _runs_on(node):
            raise
        return None


def put(node: NodeHandle, tar: Path, arch: str, aliases: Mapping[str, str]) -> bool:
    """Import a tar into a node and give its images further names: new name → the one that it has.

    False where the node stopped meanwhile. Raises CommandFailed, EngineError for one that runs.
    """
    argv = [*CTR, "images", "import", *upstream.one_platform(arch), "-"]
    try:
        node.run(argv, stdin=_chunks(tar), timeout_s=IMPORT_TIMEOUT_S)
        for alias, name in aliases.items():
            node.run([*CTR, "images", "tag", "--force", name, alias])
    except (CommandFailed, EngineError):
        if _runs_on(node):
            raise
        return False
    return True


def _runs_on(node: NodeHandle) -> bool:
    """Whether a node runs although a command on it failed; the failure may be the node's end."""
    deadline = time.monotonic() + STOPPING_S
    while node.running:
        if time.monotonic() >= deadline:
            return True
        time.sleep(LOOK_S)
    return False


def _chunks(file: Path) -> Iterator[bytes]:
    with archive.unpacked(file) as source:
        while chunk := source.read(CHUNK):
            yield chunk
