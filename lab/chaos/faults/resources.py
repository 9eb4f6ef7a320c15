"""Faults of a machine's resources, by the limits that the engine sets on its cgroup."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.chaos.fault import Base
from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

MIB = 2**20
LEAST_CORES = 0.01
"""The engine's minimum."""

CPU_STAT = Script(
    "cpu-stat",
    """
cat /sys/fs/cgroup/cpu.stat \\
    /sys/fs/cgroup/cpu/cpu.stat \\
    /sys/fs/cgroup/cpu,cpuacct/cpu.stat 2>/dev/null
""",
)
BUSY_LOOP = Script("busy-loop", "while :; do :; done")
MEMORY_USE = Script(
    "memory-use",
    """
{
    cd /sys/fs/cgroup
    cat memory/memory.usage_in_bytes memory.current
    grep -h -e ^total_inactive_file -e ^inactive_file memory/memory.stat memory.stat
} 2>/dev/null
""",
)
LIMIT_HITS = Script(
    "limit-hits",
    """
{
    cd /sys/fs/cgroup
    cat memory/memory.failcnt memory/memory.memsw.failcnt
    sed -n 's/^max //p' memory.events
} 2>/dev/null
""",
)
"""failcnt (cgroup v1, of memory and of memory with swap), or the events named max (v2)."""
FILL_CACHE = Script(
    "fill-cache",
    """
file=$1 size_mib=$2
{
    echo 0 > /sys/fs/cgroup/memory/memory.max_usage_in_bytes
    dd if=/dev/zero of="$file" bs=1M count="$size_mib"
} 2>/dev/null
rm -f "$file"
""",
)
"""Forgets the peak of memory (cgroup v1), then writes a file."""
PEAK = "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"


@dataclass(frozen=True)
class Cpu(Base):
    """The machine gets a share of one processor and is throttled when it uses more."""

    name: str = "cpu"
    summary: str = "give a machine little processor (--set cores=0.2)"
    options: Options = field(default_factory=lambda: {"cores": "0.2"})

    def check(self, site: FaultSite, options: Options) -> str:
        """Cores are a number."""
        del site
        cores = options["cores"]
        if re.fullmatch(r"\d+(\.\d+)?", cores) and float(cores) >= LEAST_CORES:
            return ""
        return f"cores={cores}: a number, {LEAST_CORES} at least"

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the quota, and how often the kernel has throttled it: from an earlier fault."""
        del options
        quota = site.engine.inspect(site.node.container)["HostConfig"]["CpuQuota"]
        return {"quota": str(quota or -1), "throttled": str(self._throttled(site))}

    def _throttled(self, site: FaultSite) -> int:
        text = CPU_STAT.run(site.node, check=False).output
        count = re.search(r"nr_throttled (\d+)", text)
        return int(count[1]) if count else 0

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the quota, and exceed it for a moment: an idle machine is not throttled for long."""
        site.engine.limit(
            site.node.container,
            cpu_period=100_000,
            cpu_quota=int(float(active.options["cores"]) * 100_000),
        )
        site.node.run(["timeout", "0.2", *BUSY_LOOP.argv()], check=False)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The kernel has throttled it since."""
        times = self._throttled(site) - int(active.before["throttled"])
        return f"throttled {times} times" if times > 0 else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Restore the old quota."""
        site.engine.limit(
            site.node.container, cpu_period=100_000, cpu_quota=int(active.before["quota"])
        )


def _number(text: str) -> int:
    """Return the number in one of the kernel's files; `max` and nothing are 0."""
    return int(text) if text.strip().isdigit() else 0


@dataclass(frozen=True)
class Memory(Base):
    """The machine gets a little more memory than it uses.

    It must reclaim all the time; if that does not suffice, something is killed.
    """

    name: str = "memory"
    summary: str = "leave a machine little more memory than it uses (--set spare=16m)"
    options: Options = field(default_factory=lambda: {"spare": "16m"})
    needs: str = "the memory controller of cgroups"

    def missing(self, site: FaultSite) -> str:
        """The kernel must count."""
        return "" if self._used(site) else "no cgroup counts this node's memory"

    def check(self, site: FaultSite, options: Options) -> str:
        """What is spared is a number of MiB."""
        if not re.fullmatch(r"\d{1,5}m", options["spare"]):
            return f"spare={options['spare']}: a number of MiB, like 16m"
        limit = site.engine.inspect(site.node.container)["HostConfig"]["Memory"]
        own = site.topology.node(site.node.name).size.memory
        if limit != own and 0 < limit < int(site.engine.info()["MemTotal"]):
            return f"{site.node.name} has such a fault already: heal that first"
        return ""

    def _used(self, site: FaultSite) -> int:
        """Return the bytes in use, without the page cache that can be dropped at once."""
        lines = MEMORY_USE.run(site.node, check=False).output.splitlines()
        used = next((int(line) for line in lines if line.isdigit()), 0)
        caches = [int(line.split()[1]) for line in lines if " " in line]
        return max(used - max(caches, default=0), 0)

    def _limit_hits(self, site: FaultSite) -> int:
        return sum(map(_number, LIMIT_HITS.run(site.node, check=False).output.split()))

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the old limit (none: all that the host has), and how often it was reached."""
        del options
        host = site.engine.inspect(site.node.container)["HostConfig"]
        old = int(host["Memory"])
        # The engine knows no way back to `no limit`: the host's whole memory is the same.
        whole = int(site.engine.info()["MemTotal"])
        return {
            "limit": str(old or whole),
            "swap": str(host["MemorySwap"] if old else 2 * whole),
            "refused": str(self._limit_hits(site)),
        }

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the limit; then write a file larger than what is spared.

        The kernel must reclaim its pages again.
        """
        spare = int(active.options["spare"].removesuffix("m"))
        limit = min(self._used(site) + spare * MIB, int(active.before["limit"]))
        site.engine.limit(site.node.container, mem_limit=limit, memswap_limit=limit)
        file = f"/var/tmp/halab-{active.id}"  # noqa: S108 (on the node; the name is random)
        FILL_CACHE.run(site.node, file, str(spare * 2), check=False)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The kernel has found the limit reached since.

        It counted that; or, as not every kernel with cgroup v1 counts, the peak is at the limit.
        """
        times = self._limit_hits(site) - int(active.before["refused"])
        limit = int(site.engine.inspect(site.node.container)["HostConfig"]["Memory"])
        peak = _number(site.node.run(["cat", PEAK], check=False).output)
        if times <= 0 and peak < limit - MIB:
            return ""
        reached = f"were reached {times} times" if times > 0 else "were reached"
        return f"limited to {limit // MIB} MiB, which {reached}"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Restore the old limit."""
        site.engine.limit(
            site.node.container,
            mem_limit=int(active.before["limit"]),
            memswap_limit=int(active.before["swap"]),
        )


FAULTS = (Cpu(), Memory())
