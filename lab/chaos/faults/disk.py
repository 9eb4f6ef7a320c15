"""Faults of the disk under etcd: full, or slow to store safely.

halab-disk is mounted over etcd's data directory (FUSE) and passes everything through to it: all
data stay where they are, newer writes too, whether the fault is healed, or the machine dies. A full
disk refuses what needs new blocks; what has its blocks can be written again, as on a real one. The
host's disk is never filled, and nothing depends on its kind of file system or on the version of
cgroups. etcd holds its files open, so it is started anew on a disk that is whole, which then begins
to ail; and once more when it is healed.
"""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos import node_program
from lab.chaos.fault import Base, same_life
from lab.chaos.faults.traffic import milliseconds

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROGRAM = "halab-disk"
PLACES = {
    "upstream": ("etcd", "/var/lib/etcd/data"),
    "k3s": ("k3s", "/var/lib/rancher/k3s/server/db/etcd"),
}
"""Distribution → the unit that is etcd, and where its data are."""
FUSE = "/dev/fuse"
DEVICE = "mknod /dev/fuse c 10 229"
"""The device's number is the kernel's, the same everywhere (admin-guide/devices.txt)."""
METRICS = "curl -s --max-time 2 http://127.0.0.1:2381/metrics"
FSYNC = "etcd_disk_wal_fsync_duration_seconds"


def fsyncs(site: FaultSite) -> tuple[int, float]:
    """Ask etcd how often it has stored its log safely since it was started, and how many milliseconds that took in all."""
    text = site.node.run(["sh", "-c", f"{METRICS} | grep {FSYNC}"], check=False).output
    found = {
        word: float(number)
        for word, number in re.findall(rf"^{FSYNC}_(sum|count) (\S+)$", text, re.MULTILINE)
    }
    return int(found.get("count", 0)), found.get("sum", 0.0) * 1000


def mean_fsync(site: FaultSite, wait_s: float) -> float | None:
    """Watch etcd for that many seconds; gives how long storing its log safely took on the average (ms), nothing where it did not."""
    count, total = fsyncs(site)
    time.sleep(wait_s)
    later, all_of_it = fsyncs(site)
    return (all_of_it - total) / (later - count) if later > count else None


@dataclass(frozen=True)
class Disk(Base):
    """An ailing disk under etcd's data."""

    name: str
    summary: str
    words: str
    """halab-disk's words, with the options filled in."""
    options: Options = field(default_factory=dict)
    needs: str = "FUSE in the kernel"
    evidence_timeout_s: float = 60.0
    """etcd must come back first, and on a slow disk that takes several fsyncs."""

    def missing(self, site: FaultSite) -> str:
        """FUSE must be in the kernel."""
        there = site.node.run(["grep", "-qw", "fuse", "/proc/filesystems"], check=False).code == 0
        return (
            node_program.missing(site, PROGRAM)
            if there
            else "this kernel lacks FUSE (`modprobe fuse` on the host)"
        )

    def check(self, site: FaultSite, options: Options) -> str:
        """A master with etcd, and a time."""
        if milliseconds(options.get("fsync", "0ms")) is None:
            return f"fsync={options['fsync']}: a time like 50ms or 1s"
        unit, folder = PLACES[site.distribution]
        ask = f"systemctl is-active {unit}; grep -c '{folder} fuse' /proc/mounts; test -d {folder} && echo there"
        words = site.node.run(["sh", "-c", ask], check=False).output.split()
        if "there" not in words:
            return "no etcd keeps its data there (target a master)"
        if "1" in words:
            return f"{site.node.name} has such a fault already: heal that first"
        return (
            ""
            if words[0] in {"active", "activating"}
            else f"{unit} is {words[0]} on {site.node.name}"
        )

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note how quick the disk is while it is whole, and whether the device must be made."""
        del options
        device = "there" if site.node.run(["test", "-e", FUSE], check=False).code == 0 else "made"
        count, total = fsyncs(site)
        return {"device": device, "fsync": f"{total / max(count, 1):.1f}"}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Mount it under etcd, and let it ail once etcd is back."""
        unit, folder = PLACES[site.distribution]
        start = shlex.join(
            node_program.start_words(
                active, PROGRAM, ["--folder", folder, *self.words.format(**active.options).split()]
            )
        )
        make = f"{{ test -e {FUSE} || {DEVICE}; }}"
        back = f"for _ in $(seq 200); do {METRICS} -o /dev/null && break; sleep 0.2; done; {METRICS} -o /dev/null"
        turn = f"systemctl kill --signal=SIGUSR1 {node_program.unit(active, PROGRAM)}"
        script = f"{make} && systemctl stop {unit} && {start} && systemctl start --no-block {unit} && {{ {back}; }} && {turn}"
        site.node.run(["sh", "-c", script], timeout_s=90)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """What is stored beside etcd's data is refused; what etcd stores takes long, by its own clock."""
        folder = PLACES[site.distribution][1]
        if "fsync" in active.options:
            wanted = milliseconds(active.options["fsync"]) or 0
            now = mean_fsync(site, 0.5 + wanted / 1000)
            return (
                f"fsync of etcd's log takes {now:.0f} ms ({active.before['fsync']} ms before)"
                if now is not None and now >= wanted
                else ""
            )
        probe = f"dd if=/dev/zero of={folder}/halab-probe bs=4k count=1; rm -f {folder}/halab-probe"
        refused = (
            "No space left on device" in site.node.run(["sh", "-c", probe], check=False).output
        )
        return (
            f"writing 4 KiB to {site.node.name}:{folder}: no space left on device"
            if refused
            else ""
        )

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Take it away, and start etcd anew where it was running, or trying to."""
        if not same_life(site, active):
            return
        unit, folder = PLACES[site.distribution]
        mounted = f"grep -q '{folder} fuse' /proc/mounts"
        helping = node_program.unit(active, PROGRAM)
        away = f"systemctl kill --signal=SIGUSR2 {helping}; systemctl stop {unit}; systemctl stop {helping}; {mounted} && umount -l {folder}"
        device = f"rm -f {FUSE}" if active.before["device"] == "made" else "true"
        again = f'case "$was" in active|activating) systemctl start --no-block {unit};; esac'
        script = f"was=$(systemctl is-active {unit}); {{ {away}; {device}; {again}; }} >/dev/null 2>&1; ! {mounted}"
        if site.node.run(["sh", "-c", script], check=False, timeout_s=60).code != 0:
            raise FaultError(f"{site.node.name}:{folder} is still mounted over")


FAULTS = (
    Disk(
        "disk-slow",
        "etcd's disk takes longer to store safely (--set fsync=200ms); etcd is started anew",
        "--fsync {fsync}",
        {"fsync": "200ms"},
    ),
    Disk(
        "disk-full",
        "etcd's disk is full: what needs new room is refused; etcd is started anew",
        "--full",
    ),
)
