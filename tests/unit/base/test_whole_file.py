"""A file is replaced whole, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab.base import whole_file

if TYPE_CHECKING:
    from pathlib import Path


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "answers.json"
    target.write_text("old")
    with whole_file.replacing(target) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == whole_file.PRIVATE
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "answers.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file.replacing(target) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_usual_rights_are_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with whole_file.replacing(tmp_path / "images.tar", whole_file.USUAL):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "images.tar").stat().st_mode & 0o777 == whole_file.PRIVATE


def test_the_mode_is_the_callers(tmp_path: Path) -> None:
    with whole_file.replacing(tmp_path / "report.html", whole_file.PUBLIC):
        pass
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == whole_file.PUBLIC
