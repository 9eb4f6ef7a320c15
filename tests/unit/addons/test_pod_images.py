"""How images of pods go from the engine to nodes: what the engine and containerd are asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.addons.pod_images import PodImages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class NodeDouble:
    """A node without images that keeps what is run on it."""

    name, running = "w1", True

    def __init__(self) -> None:
        self.ran: list[list[str]] = []

    def run(
        self, argv: list[str], stdin: Iterable[bytes] = (), timeout_s: float = 0
    ) -> SimpleNamespace:
        self.ran.append(argv)
        list(stdin)
        return SimpleNamespace(output="")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_load_imports_the_engines_platform_alone(tmp_path: Path, arch: str) -> None:
    """The engine's index names platforms that a node could run, too, and that the tar has not."""
    engine, node = FakeEngine(), NodeDouble()
    quiet = SimpleNamespace(say=lambda *_: None, done=lambda *_: None)
    builder = SimpleNamespace(
        engine=engine,
        tags={"pods/toolbox": "halab/pod-toolbox:1"},
        sources=SimpleNamespace(arch=arch, cache=tmp_path),
        versions=SimpleNamespace(public=lambda _: "halab/toolbox:1.0.0"),
        reporter=quiet,
    )
    loaded = PodImages(builder).load({"toolbox": ["w1"]}, [node])  # type: ignore[arg-type, list-item]
    assert loaded == ("w1",)
    assert engine.calls == [f"save halab/pod-toolbox:1 {arch}"]
    imports = [
        "ctr",
        "-n",
        "k8s.io",
        "images",
        "import",
        "--local",
        "--platform",
        f"linux/{arch}",
        "-",
    ]
    assert imports in node.ran
