from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.base import paths
from lab.images.sources import Sources, tags


def test_tags_follow_what_goes_in(tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(paths.shipped("images"), tmp_path / "images"))
    sources = Sources(folder=folder, cache=tmp_path, arch="amd64")
    before = tags(sources)
    assert tags(sources) == before
    assert tags(replace(sources, arch="arm64"))["upstream"] != before["upstream"]
    (folder / "node" / "files" / "new").write_text("x")
    after = tags(sources)
    assert {image for image in before if before[image] != after[image]} == {
        "node",
        "upstream",
        "k3s",
    }
