"""Faults of a machine's resources, by the limits that the engine sets on its cgroup."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.chaos.fault import Base

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

MIB = 2**20


@dataclass(frozen=True)
class Cpu(Base):
    """The machine gets a share of one processor and is throttled when it wants more."""

    name: str = "cpu"
    summary: str = "give a machine little processor (--set cores=0.2)"
    options: Options = field(default_factory=lambda: {"cores": "0.2"})

    def check(self, site: FaultSite, options: Options) -> str:
        """Cores are a number."""
        del site
        good = re.fullmatch(r"\d+(\.\d+)?", options["cores"]) and float(options["cores"]) >= 0.01  # noqa: PLR2004 (the engine's least)
        return "" if good else f"cores={options['cores']}: a number, 0.01 at least"

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the quota, and how often the kernel has throttled it: from an earlier fault."""
        del options
        quota = site.engine.inspect(site.node.container)["HostConfig"]["CpuQuota"]
        return {"quota": str(quota or -1), "throttled": str(self._throttled(site))}

    def _throttled(self, site: FaultSite) -> int:
        argv = [
            "sh",
            "-c",
            "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu,cpuacct/cpu.stat 2>/dev/null",
        ]
        found = re.search(r"nr_throttled (\d+)", site.node.run(argv, check=False).output)
        return int(found[1]) if found else 0

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the quota, and want more than it for a moment: an idle machine would not be throttled for long."""
        site.engine.limit(
            site.node.container,
            cpu_period=100_000,
            cpu_quota=int(float(active.options["cores"]) * 100_000),
        )
        site.node.run(["timeout", "0.2", "sh", "-c", "while :; do :; done"], check=False)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The kernel has throttled it since."""
        times = self._throttled(site) - int(active.before["throttled"])
        return f"throttled {times} times" if times > 0 else ""

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """The old quota."""
        site.engine.limit(
            site.node.container, cpu_period=100_000, cpu_quota=int(active.before["quota"])
        )


def _number(text: str) -> int:
    """Read a kernel's file of one number; `max` and nothing are 0."""
    return int(text) if text.strip().isdigit() else 0


@dataclass(frozen=True)
class Memory(Base):
    """The machine gets a little more memory than it uses: it must reclaim all the time, and where that does not help, something is killed."""

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
        most = int(site.engine.info()["MemTotal"])
        return (
            f"{site.node.name} has such a fault already: heal that first"
            if 0 < limit < most
            else ""
        )

    def _used(self, site: FaultSite) -> int:
        """Return the bytes in use, without the page cache that can be dropped at once."""
        caches = "grep -h -e ^total_inactive_file -e ^inactive_file memory/memory.stat memory.stat"
        ask = f"cd /sys/fs/cgroup; cat memory/memory.usage_in_bytes memory.current; {caches}"
        lines = site.node.run(
            ["sh", "-c", f"{{ {ask}; }} 2>/dev/null"], check=False
        ).output.splitlines()
        used = next((int(line) for line in lines if line.isdigit()), 0)
        dropped = [int(line.split()[1]) for line in lines if " " in line]
        return max(used - max(dropped, default=0), 0)

    def _refused(self, site: FaultSite) -> int:
        """Return how often the kernel found the limit reached: failcnt (cgroup v1, of memory and of memory with swap) or the events named max (v2)."""
        ask = "cd /sys/fs/cgroup; cat memory/memory.failcnt memory/memory.memsw.failcnt; sed -n 's/^max //p' memory.events"
        return sum(
            map(
                _number,
                site.node.run(
                    ["sh", "-c", f"{{ {ask}; }} 2>/dev/null"], check=False
                ).output.split(),
            )
        )

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the old limit (none: all that the host has), and the new one."""
        del options
        host = site.engine.inspect(site.node.container)["HostConfig"]
        old = int(host["Memory"])
        # The engine knows no way back to `no limit`: the host's whole memory is the same.
        whole = int(site.engine.info()["MemTotal"])
        return {
            "limit": str(old or whole),
            "swap": str(host["MemorySwap"] if old else 2 * whole),
            "refused": str(self._refused(site)),
        }

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Set the limit; then read and write a file larger than what is spared, whose pages the kernel must reclaim again."""
        spare = int(active.options["spare"].removesuffix("m"))
        limit = self._used(site) + spare * MIB
        site.engine.limit(site.node.container, mem_limit=limit, memswap_limit=limit)
        peak = "echo 0 > /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
        knock = f"/var/tmp/halab-{active.id}"  # noqa: S108 (on the node; the name is random)
        site.node.run(
            [
                "sh",
                "-c",
                f"{{ {peak}; dd if=/dev/zero of={knock} bs=1M count={spare * 2}; }} 2>/dev/null; rm -f {knock}",
            ],
            check=False,
        )

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The kernel has found the limit reached since: it counted that, or (cgroup v1, not every kernel counts) the peak stands at the limit."""
        times = self._refused(site) - int(active.before["refused"])
        limit = int(site.engine.inspect(site.node.container)["HostConfig"]["Memory"])
        peak = _number(
            site.node.run(
                ["cat", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"], check=False
            ).output
        )
        if times <= 0 and peak < limit - MIB:
            return ""
        return f"limited to {limit // MIB} MiB, which " + (
            f"were reached {times} times" if times > 0 else "were reached"
        )

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """The old limit."""
        site.engine.limit(
            site.node.container,
            mem_limit=int(active.before["limit"]),
            memswap_limit=int(active.before["swap"]),
        )


FAULTS = (Cpu(), Memory())
