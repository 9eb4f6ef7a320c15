"""Where halab's own files are: beside lab/ in a checkout, inside the package once installed.

And where it may write.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

from lab.base.names import check_name

_PACKAGE = Path(__file__).parents[1]


def shipped(kind: str) -> Path:
    """Return the folder `images` or `topologies`."""
    installed = _PACKAGE / "_data" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def cache() -> Path:
    """Return the folder for what can be made again: binaries, downloads. Made when missing."""
    path = Path(platformdirs.user_cache_dir("halab"))
    path.mkdir(parents=True, exist_ok=True)
    return path


def state() -> Path:
    """Return the folder for locks and kubeconfigs, readable for this user only.

    Made when missing; never asked what a lab is.
    """
    path = Path(platformdirs.user_state_dir("halab"))
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def of_lab(lab: str, ending: str) -> Path:
    """Return a lab's file in the folder for state. Raise InputError for what is no lab's name."""
    check_name(lab)
    return state() / f"{lab}.{ending}"


def runs() -> Path:
    """Return the folder for runs, readable for this user only. Made when missing."""
    path = Path(platformdirs.user_data_dir("halab")) / "runs"
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
