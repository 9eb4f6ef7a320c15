"""An export is written for its user only, and over nothing."""

from __future__ import annotations

import stat
import tarfile
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import InputError
from lab.cli import export

if TYPE_CHECKING:
    from pathlib import Path


def test_export_writes_a_folder_for_its_user_only(tmp_path: Path) -> None:
    export._write(tmp_path / "out", {"nodes/m/journal.txt": b"x"})
    path = tmp_path / "out/nodes/m/journal.txt"
    assert path.read_bytes() == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_export_writes_an_archive(tmp_path: Path) -> None:
    export._write(tmp_path / "bug.tar.gz", {"a/b.txt": b"x"})
    with tarfile.open(tmp_path / "bug.tar.gz") as archive:
        assert archive.getnames() == ["bug/a/b.txt"]


def test_export_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    (tmp_path / "a.tgz").touch()
    for place in ("full", "a.tgz", "full/x", "no/such/folder"):
        with pytest.raises(InputError):
            export._check(tmp_path / place)
    export._check(tmp_path / "new")
