"""Where halab's own files are, and where it may write.

Its own files are beside lab/ in a checkout, and inside the package once it is installed.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

from lab.base.names import check_name

_PACKAGE = Path(__file__).parents[1]


def shipped(kind: str) -> Path:
    """Return the folder of files that come with halab: `images` or `topologies`."""
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def cache() -> Path:
    """Return the folder for what can be made again (binaries, downloads), made if missing."""
    path = Path(platformdirs.user_cache_dir("halab"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def state() -> Path:
    """Return the folder for locks and kubeconfigs, made if missing and readable only by this user.

    What a lab is, is never read from here: the engine's labels say that.
    """
    path = Path(platformdirs.user_state_dir("halab"))
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def of_lab(lab: str, ending: str) -> Path:
    """Return the path of a lab's file in `state`. Raise InputError if it cannot be a lab's name."""
    check_name(lab)
    return state() / f"{lab}.{ending}"


def runs() -> Path:
    """Return the folder for runs, made if missing and readable only by this user."""
    path = Path(platformdirs.user_data_dir("halab")) / "runs"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
