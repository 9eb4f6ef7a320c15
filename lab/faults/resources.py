"""Faults of a machine's resources, by the limits that the engine sets on its cgroup; and of the floating address."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.errors import FaultError
from lab.faults import Base

if TYPE_CHECKING:
    from lab.faults import Hit, Options, Site


@dataclass(frozen=True)
class Cpu(Base):
    """The machine gets a share of one processor and is throttled when it wants more."""

    name: str = "cpu"
    summary: str = "give a machine little processor (--set cores=0.2)"
    options: Options = field(default_factory=lambda: {"cores": "0.2"})

    def check(self, site: Site, options: Options) -> str:
        """Cores are a number."""
        del site
        good = re.fullmatch(r"\d+(\.\d+)?", options["cores"]) and float(options["cores"]) >= 0.01  # noqa: PLR2004 (the engine's least)
        return "" if good else f"cores={options['cores']}: a number, 0.01 at least"

    def inject(self, site: Site, hit: Hit) -> None:
        """Set the quota."""
        site.engine.limit(site.node.container, cpu_period=100_000, cpu_quota=int(float(hit.options["cores"]) * 100_000))

    def proof(self, site: Site, hit: Hit) -> str:
        """The kernel has throttled it."""
        del hit
        argv = ["sh", "-c", "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu,cpuacct/cpu.stat 2>/dev/null"]
        found = re.search(r"nr_throttled (\d+)", site.node.run(argv, check=False).output)
        return f"throttled {found[1]} times" if found and found[1] != "0" else ""

    def heal(self, site: Site, hit: Hit) -> None:
        """No quota."""
        del hit
        site.engine.limit(site.node.container, cpu_period=100_000, cpu_quota=-1)


@dataclass(frozen=True)
class VipLost(Base):
    """The floating address vanishes from its holder; Pacemaker's monitor sees it and brings it back."""

    name: str = "vip-lost"
    summary: str = "take the floating address off a machine; Pacemaker brings it back"

    def _held(self, site: Site) -> bool:
        vip = str(site.topology.network.vip)
        return f" {vip}/" in site.node.run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], check=False).output

    def check(self, site: Site, options: Options) -> str:
        """It must hold the address."""
        del options
        return "" if self._held(site) else f"{site.node.name} does not hold the VIP (target @vip-holder)"

    def inject(self, site: Site, hit: Hit) -> None:
        """Remove it, and see at once that it is gone: Pacemaker may be quick."""
        del hit
        vip = site.topology.network.vip
        shown = site.node.run(["sh", "-c", f"ip addr del {vip}/32 dev eth0 && ip -4 -o addr show dev eth0"]).output
        if f" {vip}/" in shown:
            raise FaultError(f"{site.node.name} still holds {vip}")

    def proof(self, site: Site, hit: Hit) -> str:
        """`inject` has seen it gone."""
        del hit
        return f"{site.node.name} lost {site.topology.network.vip}"

    def heal(self, site: Site, hit: Hit) -> None:
        """Pacemaker does."""


FAULTS = (Cpu(), VipLost())
