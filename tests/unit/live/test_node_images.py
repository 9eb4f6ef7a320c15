"""Images in nodes' containerd: a node that stops meanwhile is no failure, a broken one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from lab.base.errors import CommandFailed
from lab.live import node_images

if TYPE_CHECKING:
    from pathlib import Path


class Node:
    """A double of a node whose command ends with a code; the engine says `running` so often."""

    name = "w1"

    def __init__(self, code: int, looks: int) -> None:
        self.code, self.looks = code, looks

    def run(self, argv: list[str], **_: object) -> None:
        raise CommandFailed(self.name, tuple(argv), self.code, "")

    @property
    def running(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def put(node: Node, folder: Path) -> bool:
    tar = folder / "images.tar"
    tar.write_bytes(b"")
    return node_images.put(cast("Any", node), tar, "amd64", {})


CODES = (1, 126, 137)
"""containerd was gone first; the command found no machine to begin on; it was killed with it."""


@pytest.mark.parametrize("code", CODES)
def test_a_node_that_was_killed_is_off_although_the_engine_is_late_to_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    monkeypatch.setattr(node_images, "LOOK_S", 0.0)
    assert put(Node(code, looks=3), tmp_path) is False
    assert node_images.names(cast("Any", Node(code, looks=3))) is None


@pytest.mark.parametrize("code", CODES)
def test_a_node_that_goes_on_running_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    monkeypatch.setattr(node_images, "STOPPING_S", 0.0)
    with pytest.raises(CommandFailed):
        put(Node(code, looks=1000), tmp_path)
