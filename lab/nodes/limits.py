"""A node with `cpus` or `memory` tells the scheduler how much it has. Pure text.

The engine's limits hold in any case. But kubelet finds the host's memory and processors in /proc
and /sys (cadvisor), and would take pods for all of the host. What the node has not is reserved:
`allocatable` is the truth, `capacity` stays the host's. A file in the place of /proc/meminfo would
change that, too, but all its other lines would stand still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.engine.files import File
from lab.topology.model import MachineSize

if TYPE_CHECKING:
    from lab.topology.model import Node

SCRIPT = "/usr/local/sbin/halab-limits"
_SCRIPT = """#!/bin/sh
# Reserves what of the engine's machine this node may not use; that machine may have changed.
set -eu
file=$1 millicpus=$2 memory_kib=$3
total_kib=$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
total_millicpus=$(($(grep -c '^processor' /proc/cpuinfo) * 1000))
reserved=""
if [ "$memory_kib" -gt 0 ] && [ "$memory_kib" -lt "$total_kib" ]; then
    reserved="\\"memory\\": \\"$((total_kib - memory_kib))Ki\\""
fi
if [ "$millicpus" -gt 0 ] && [ "$millicpus" -lt "$total_millicpus" ]; then
    reserved="${reserved:+$reserved, }\\"cpu\\": \\"$((total_millicpus - millicpus))m\\""
fi
mkdir -p "${file%/*}"
cat > "$file" <<END
{
 "apiVersion": "kubelet.config.k8s.io/v1beta1",
 "kind": "KubeletConfiguration",
 "systemReserved": {$reserved}
}
END
"""


def files(node: Node, unit: str, folder: str) -> tuple[File, ...]:
    """Return the files of a node with limits, none for others.

    `unit` runs the kubelet; `folder` is where that reads further settings from (`--config-dir`).
    """
    if node.size == MachineSize():
        return ()
    numbers = f"{node.size.millicpus} {node.size.memory // 1024}"
    before = f"ExecStartPre={SCRIPT} {folder}/95-limits.conf {numbers}"
    return (
        File(path=SCRIPT, content=_SCRIPT.encode(), mode=0o755),
        File(
            path=f"/etc/systemd/system/{unit}.service.d/20-limits.conf",
            content=f"[Service]\n{before}\n".encode(),
        ),
    )
