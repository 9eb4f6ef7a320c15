"""Faults of the disk under etcd: full, or slow to store safely.

halab-disk is mounted over etcd's data directory (FUSE) and passes everything through to it: all
data stay in place, also those written meanwhile, whether the fault is healed or the machine dies. A
full disk refuses what needs new blocks; what has its blocks can be rewritten, as on a real
one. The host's disk is never filled, and nothing depends on its file system or on the version of
cgroups. etcd holds its files open, so it is restarted on a healthy disk, which then begins to ail;
and once more when the fault is healed.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos import node_program
from lab.chaos.fault import Base, same_life
from lab.chaos.faults.traffic import milliseconds
from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROGRAM = "halab-disk"
PLACES = {
    "upstream": ("etcd", "/var/lib/etcd/data"),
    "k3s": ("k3s", "/var/lib/rancher/k3s/server/db/etcd"),
}
"""Distribution → the unit that is etcd, and the folder of its data."""
FUSE = "/dev/fuse"
FSYNC = "etcd_disk_wal_fsync_duration_seconds"

METRICS = Script(
    "etcd-metrics",
    """
curl -s --max-time 2 http://127.0.0.1:2381/metrics | grep "$1"
""",
)
STATE = Script(
    "etcd-state",
    """
etcd=$1 folder=$2
systemctl is-active "$etcd"
grep -c "$folder fuse" /proc/mounts
test -d "$folder" && echo there
""",
)
MOUNT = Script(
    "mount-ailing-disk",
    """
set -e
etcd=$1 program=$2
shift 2
answers() { curl -s --max-time 2 http://127.0.0.1:2381/metrics -o /dev/null; }
# The device's number is the kernel's, the same everywhere (admin-guide/devices.txt).
test -e /dev/fuse || mknod /dev/fuse c 10 229
systemctl stop "$etcd"
"$@"
systemctl start --no-block "$etcd"
for _ in $(seq 200); do
    answers && break
    sleep 0.2
done
answers
systemctl kill --signal=SIGUSR1 "$program"
""",
)
"""$1 etcd's unit, $2 halab-disk's unit, $3… the command that starts it.

The signal tells halab-disk to begin.
"""
UNMOUNT = Script(
    "unmount-ailing-disk",
    """
etcd=$1 folder=$2 program=$3 device=$4
mounted() { grep -q "$folder fuse" /proc/mounts; }
was=$(systemctl is-active "$etcd")
{
    systemctl kill --signal=SIGUSR2 "$program"
    systemctl stop "$etcd"
    systemctl stop "$program"
    mounted && umount -l "$folder"
    test "$device" != made || rm -f /dev/fuse
    case $was in
    active | activating) systemctl start --no-block "$etcd" ;;
    esac
} >/dev/null 2>&1
! mounted
""",
)
"""Fails if it is still mounted. $4: `made` if `MOUNT` has made the device.

The signal tells halab-disk that the disk is healthy again. etcd is started if it was running, or
trying to.
"""
WRITE = Script(
    "write-beside-etcd",
    """
dd if=/dev/zero of="$1/halab-probe" bs=4k count=1
rm -f "$1/halab-probe"
""",
)


def fsyncs(site: FaultSite) -> tuple[int, float]:
    """Ask etcd how often it has synced its log since its start, and for how long in all (ms)."""
    text = METRICS.run(site.node, FSYNC, check=False).output
    pairs = re.findall(rf"^{FSYNC}_(sum|count) (\S+)$", text, re.MULTILINE)
    values = {name: float(number) for name, number in pairs}
    return int(values.get("count", 0)), values.get("sum", 0.0) * 1000


def mean_fsync(site: FaultSite, wait_s: float) -> float | None:
    """Watch etcd for so many seconds; return how long a sync of its log took on average (ms).

    None if there was none.
    """
    count, total_ms = fsyncs(site)
    time.sleep(wait_s)
    later_count, later_total_ms = fsyncs(site)
    if later_count <= count:
        return None
    return (later_total_ms - total_ms) / (later_count - count)


@dataclass(frozen=True)
class Disk(Base):
    """An ailing disk under etcd's data."""

    name: str
    summary: str
    arguments: str
    """halab-disk's, with the options to be filled in."""
    options: Options = field(default_factory=dict)
    needs: str = "FUSE in the kernel"
    evidence_timeout_s: float = 60.0
    """etcd must come back first, and on a slow disk that takes several fsyncs."""

    def missing(self, site: FaultSite) -> str:
        """FUSE must be in the kernel."""
        grep = ["grep", "-qw", "fuse", "/proc/filesystems"]
        if site.node.run(grep, check=False).code != 0:
            return "this kernel lacks FUSE (`modprobe fuse` on the host)"
        return node_program.missing(site, PROGRAM)

    def check(self, site: FaultSite, options: Options) -> str:
        """It takes a master with etcd, and a time."""
        if milliseconds(options.get("fsync", "0ms")) is None:
            return f"fsync={options['fsync']}: a time like 50ms or 1s"
        etcd, folder = PLACES[site.distribution]
        answers = STATE.run(site.node, etcd, folder, check=False).output.split()
        if "there" not in answers:
            return "no etcd keeps its data there (target a master)"
        if "1" in answers:
            return f"{site.node.name} has such a fault already: heal that first"
        if answers[0] in {"active", "activating"}:
            return ""
        return f"{etcd} is {answers[0]} on {site.node.name}"

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note how fast the healthy disk is, and whether the device must be made."""
        del options
        device = "there" if site.node.run(["test", "-e", FUSE], check=False).code == 0 else "made"
        count, total_ms = fsyncs(site)
        return {"device": device, "fsync": f"{total_ms / max(count, 1):.1f}"}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Mount it under etcd, and let it ail once etcd is back."""
        etcd, folder = PLACES[site.distribution]
        arguments = ["--folder", folder, *self.arguments.format(**active.options).split()]
        start = node_program.start_command(active, PROGRAM, arguments)
        unit = node_program.unit(active, PROGRAM)
        MOUNT.run(site.node, etcd, unit, *start, timeout_s=90)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Writing beside etcd's data is refused; or etcd's syncs take long, by its own clock."""
        if "fsync" in active.options:
            return self._slow(site, active)
        folder = PLACES[site.distribution][1]
        if "No space left on device" not in WRITE.run(site.node, folder, check=False).output:
            return ""
        return f"writing 4 KiB to {site.node.name}:{folder}: no space left on device"

    def _slow(self, site: FaultSite, active: ActiveFault) -> str:
        delay_ms = milliseconds(active.options["fsync"]) or 0
        mean_ms = mean_fsync(site, 0.5 + delay_ms / 1000)
        if mean_ms is None or mean_ms < delay_ms:
            return ""
        return f"fsync of etcd's log takes {mean_ms:.0f} ms ({active.before['fsync']} ms before)"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Unmount it, and restart etcd if it was running, or trying to."""
        if not same_life(site, active):
            return
        etcd, folder = PLACES[site.distribution]
        unit = node_program.unit(active, PROGRAM)
        arguments = (etcd, folder, unit, active.before["device"])
        if UNMOUNT.run(site.node, *arguments, check=False, timeout_s=60).code != 0:
            raise FaultError(f"{site.node.name}:{folder} is still mounted over")


FAULTS = (
    Disk(
        "disk-slow",
        "etcd's disk takes longer to store safely (--set fsync=200ms); restarts etcd",
        "--fsync {fsync}",
        {"fsync": "200ms"},
    ),
    Disk(
        "disk-full",
        "etcd's disk is full: what needs more space is refused; restarts etcd",
        "--full",
    ),
)
