"""A node's disk for Ceph: a loop device over a sparse file of halab's own, and nothing else.

Pure text. Loop devices belong to the machine, not to the node. Three things make sure that nothing
of the machine is touched, and nothing is left behind. The node's /dev loses every block device
before the loop device is made, so no pod finds a disk of the host. The device's number is computed
from lab and node, so nothing has to search for a free one. And the device is marked to detach
itself when its last user ends (LO_FLAGS_AUTOCLEAR): however a node is killed or destroyed, its loop
device goes with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.base.errors import InputError
from lab.base.hashing import digest
from lab.engine.files import File, unit_links

if TYPE_CHECKING:
    from lab.topology.model import Topology

SIZE_GIB = 6
"""Sparse. ceph-volume refuses less than 5 GB; a fresh OSD writes some 30 MB."""
FOLDER = "/var/lib/kubelet/halab"
"""On a volume with both distributions: the disk survives a power cut and needs no overlay."""
UNIT = "halab-osd-disk"
SCRIPT = f"/usr/local/sbin/{UNIT}"
FIRST, LAST = 1_000, 1_000_000
"""Numbers of loop devices: above those that a machine assigns by itself, below the kernel's 2^20
minors."""
NAME = re.compile(r"loop\d{4,7}")


def numbers(topology: Topology) -> dict[str, int]:
    """Return the number of each node's loop device.

    It is always the same for a lab and node, and unique within a lab.
    """
    by_node: dict[str, int] = {}
    for node in topology.nodes:
        number = int(digest(f"{topology.name}/{node.name}"), 16) % (LAST - FIRST) + FIRST
        while number in by_node.values():
            number += 1
        by_node[node.name] = number
    return by_node


def device(topology: Topology, node: str) -> str:
    """Return the name of a node's loop device, as in /dev."""
    return checked(f"loop{numbers(topology)[node]}")


def checked(name: str) -> str:
    """Return the name as it is.

    Raises InputError for anything but a loop device of halab's own: Ceph overwrites what it gets.
    """
    number = int(name.removeprefix("loop")) if NAME.fullmatch(name) else -1
    if not FIRST <= number <= LAST + 100:
        raise InputError(
            f"Ceph may not have the device `{name}`",
            "only loop devices that halab made over files of its own are ever given to it",
        )
    return name


def image(topology: Topology, node: str) -> str:
    """Return the path of a node's sparse file.

    It contains lab and node: the kernel shows this path to every node on the machine.
    """
    return f"{FOLDER}/osd-{topology.name}-{node}.img"


def script(topology: Topology, node: str) -> str:
    """Return the program that makes the device and holds it."""
    number = numbers(topology)[node]
    return f"""#!/bin/bash
# halab: this node's disk for Ceph, /dev/loop{number} over a sparse file. \
See lab/addons/catalog/ceph/osd_disk.py.
set -eu
device=/dev/loop{number}
file={image(topology, node)}
backing=/sys/block/loop{number}/loop/backing_file
# Only in a /dev of the node's own (tmpfs): there a device node is a name, \
and removing it touches no disk.
[ "$(awk '$2 == "/dev" {{print $3}}' /proc/self/mounts)" = tmpfs ] || \
{{ echo "/dev is not this node's own: refused" >&2; exit 1; }}
find /dev -xdev -type b ! -path "$device" -delete
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
[ -e "$device" ] || mknod -m 660 "$device" b 7 {number}
mkdir -p "${{file%/*}}"
[ -e "$file" ] || truncate -s {SIZE_GIB}G "$file"
if [ "$(cat "$backing" 2>/dev/null)" != "$file" ]; then losetup "$device" "$file"; fi
exec 3<>"$device"
# Detaching a device in use marks it to detach when its last user ends; \
from here on, this process is one.
losetup -d "$device"
state="$(cat "$backing") $(cat /sys/block/loop{number}/loop/autoclear)"
[ "$state" = "$file 1" ] || {{ echo "$device is not what it should be: $state" >&2; exit 1; }}
systemd-notify --ready --status="$device is $file"
exec sleep infinity
"""


def unit(topology: Topology, node: str) -> str:
    """Return the unit. It runs before the kubelet at every boot: a node's /dev is new each time."""
    number = numbers(topology)[node]
    forget = f'open(F, "+<", "/dev/loop-control") and ioctl(F, 0x4C81, {number})'
    return f"""[Unit]
Description=A disk for Ceph: a loop device over a sparse file (halab)
Before=kubelet.service k3s.service k3s-agent.service
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
ExecStart={SCRIPT}
# LOOP_CTL_REMOVE: the number itself goes, too, when nobody uses it any more.
ExecStopPost=-/usr/bin/perl -e '{forget}'
Restart=on-failure
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


def files(topology: Topology, node: str) -> tuple[File, ...]:
    """Return the script, its unit, and the link that enables it."""
    return (
        File(path=SCRIPT, content=script(topology, node).encode(), mode=0o755),
        File(path=f"/etc/systemd/system/{UNIT}.service", content=unit(topology, node).encode()),
        *unit_links(f"{UNIT}.service"),
    )
