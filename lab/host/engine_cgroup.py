"""The cgroup that all of the engine's containers are in: cgroup v1's CPU controller, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

CPU = Path("/sys/fs/cgroup/cpu")
"""cgroup v1's controller; cgroup v2 has none of these files."""
PARENTS = {"cgroupfs": "docker", "systemd": "system.slice"}
"""Where the engine puts containers, by its cgroup driver."""


def path(info: Mapping[str, Any]) -> Path:
    """Return the engine's cgroup; the engine makes it with the first container."""
    return CPU / PARENTS.get(str(info.get("CgroupDriver", "")), "docker")


def read(info: Mapping[str, Any], file: str, otherwise: int) -> int:
    """Return a number from one of its files; `otherwise` where there is none."""
    try:
        return int((path(info) / file).read_text())
    except (OSError, ValueError):
        return otherwise


def write(info: Mapping[str, Any], file: str, number: int) -> None:
    """Write a number to one of its files; it holds until the next boot.

    Raises LabError where the kernel refuses.
    """
    cgroup = path(info)
    try:
        cgroup.mkdir(exist_ok=True)
        (cgroup / file).write_text(str(number))
    except OSError as error:
        hint = "`halab doctor --fix` must run as root, on the engine's own machine"
        reason = f"{cgroup / file} cannot be set to {number}: {error.strerror}"
        raise LabError(reason, hint) from error
