"""Volumes of a lab as tars on the disk of a helper container, and back.

A container's image has nothing of its volumes. So a helper has them beside a folder for tars; what
it wrote there becomes a layer of an image. Tar keeps what containerd's overlays need and a layer of
an image cannot hold: devices that mark removed files, and extended attributes of trusted names.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine import fitness
from lab.engine.labels import LABEL, LABEL_HELPER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.engine.client import Engine

TARS = "/halab-snapshot"
VOLUMES = "/halab-volumes"
TIMEOUT_S = 600
"""For one machine's volumes: 0.2 GB take a second or two; a busy disk may take a hundred times
that."""
TAR = "tar --numeric-owner --xattrs --xattrs-include='*'"
PACK = f"""
set -e
mkdir -p {TARS}
cd {VOLUMES}
for volume in *; do
    {TAR} --sparse -C "$volume" -cf "{TARS}/$volume.tar" .
done
"""
"""Sparse: etcd sets 64 MB aside for each of its logs, most of which are empty."""
UNPACK = f"""
set -e
cd {VOLUMES}
for volume in *; do
    find "$volume" -mindepth 1 -delete
    {TAR} -C "$volume" -xpf "{TARS}/$volume.tar"
done
"""
"""What an interrupted try has left in a volume goes first."""
NO_SPACE = "No space left on device"


@contextlib.contextmanager
def packed(engine: Engine, image: str, lab: str, volumes: Mapping[str, str]) -> Iterator[str]:
    """Yield a container that has tars of volumes on its disk; remove it afterwards.

    `volumes` maps the name of each volume to the name of its tar. Raises EngineError if tar fails.
    """
    with _helper(engine, image, lab, volumes, PACK, {}) as helper:
        yield helper


def unpack(
    engine: Engine, image: str, lab: str, volumes: Mapping[str, str], labels: dict[str, str]
) -> None:
    """Fill volumes from the tars in an image. Raises EngineError if tar fails."""
    with _helper(engine, image, lab, volumes, UNPACK, labels):
        pass


@contextlib.contextmanager
def _helper(
    engine: Engine,
    image: str,
    lab: str,
    volumes: Mapping[str, str],
    script: str,
    labels: dict[str, str],
) -> Iterator[str]:
    mode = "ro" if script == PACK else "rw"
    binds = {name: {"bind": f"{VOLUMES}/{tar}", "mode": mode} for name, tar in volumes.items()}
    # A machine's privileges: devices and attributes of trusted names are root's alone to make.
    machine = engine.machine(privileged=fitness.privileged(engine, image), binds=binds)
    own = {**labels, LABEL: lab, **LABEL_HELPER}
    helper = engine.create_helper(image, ["sh", "-c", script], own, machine)
    try:
        engine.start(helper)
        code = engine.wait(helper, TIMEOUT_S)
        if code:
            raise _failed(engine.logs(helper), code, ", ".join(volumes))
        yield helper
    finally:
        engine.remove_container(helper)


def _failed(log: str, code: int, volumes: str) -> EngineError:
    last = (log.strip().splitlines() or [f"exit code {code}"])[-1]
    hint = "`docker system df` shows what has it; `halab snapshot list` names snapshots"
    return EngineError(f"copying {volumes}: {last}", hint if NO_SPACE in log else "")
