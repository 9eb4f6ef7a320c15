"""A build that breaks off shows its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine

from lab.base import paths
from lab.base.errors import EngineError, ImageError
from lab.base.progress import Silent
from lab.images.builder import Builder
from lab.images.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class BrokenBuild(FakeEngine):
    """An engine whose build breaks off after two steps."""

    def build(self, *_: object) -> Iterator[str]:
        yield "Step 1/2 : FROM x"
        yield "E: Unable to locate package nonsense"
        raise EngineError("building halab/base: the command returned a non-zero code: 100")


def test_docker_build_shows_its_log_and_keeps_it_when_it_breaks_off(tmp_path: Path) -> None:
    sources = Sources(folder=paths.shipped("images"), cache=tmp_path, arch="amd64")
    builder = Builder(BrokenBuild(), sources, Silent())  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="Unable to locate package nonsense") as caught:
        builder.docker_build("base")
    assert "a retry goes on" in caught.value.hint
    assert "nonsense" in (tmp_path / "build-base.log").read_text()
