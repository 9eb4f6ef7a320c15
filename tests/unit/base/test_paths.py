"""Where halab keeps its own files."""

from __future__ import annotations

import stat

from lab.base import paths


def test_the_state_folder_is_private() -> None:
    assert stat.S_IMODE(paths.state().stat().st_mode) == 0o700
