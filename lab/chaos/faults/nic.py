"""The fault of a network interface that goes down, as when a cable is pulled or a driver fails."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Template
from typing import TYPE_CHECKING

from lab.chaos.fault import Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

STATE = Template("ip -br link show dev $device; ip -4 route show dev $device")
"""The link's line first, then its routes, one a line."""
UP = Template("ip link set $device up")
ROUTE = Template("ip -4 route replace $route dev $device")
BY_KERNEL = "proto kernel"
"""Marks routes that the kernel makes itself from an interface's addresses, whenever it comes up."""
STATE_WORDS = {"linkdown", "dead"}
"""What `ip route` shows of a route, and does not accept when one is made."""


@dataclass(frozen=True)
class NicDown(Base):
    """The node's interface is down: senders on the node get errors, peers get no answer.

    The kernel keeps IPv4 addresses when a link goes down, but drops every route that goes by it. It
    makes those to the interface's own networks again when the link comes up, but not the default
    route, nor what flannel or anybody else added. So they are noted before and restored after.
    All commands go through the engine (`docker exec`), not through the node's network.
    """

    name: str = "nic-down"
    summary: str = "take a node's network interface down (--set device=eth0)"
    options: Options = field(default_factory=lambda: {"device": "eth0"})

    def check(self, site: FaultSite, options: Options) -> str:
        """The interface must be there and up."""
        device = options["device"]
        if not re.fullmatch(r"[a-z][a-z0-9]{0,14}", device):
            return f"device={device}: an interface's name, like eth0"
        state, _ = self._observe(site, device)
        if not state:
            return f"{site.node.name} has no interface {device}"
        return f"{device} of {site.node.name} is down already" if state == "DOWN" else ""

    def _observe(self, site: FaultSite, device: str) -> tuple[str, list[str]]:
        """Return the interface's state, as `ip` words it, and the routes that go by it."""
        script = STATE.substitute(device=device)
        lines = site.node.run(["sh", "-c", script], check=False).output.splitlines()
        words = lines[0].split() if lines else []
        if not words or words[0].split("@")[0] != device:
            return "", []
        return words[1], [line.strip() for line in lines[1:]]

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Note the routes that the kernel will drop and not make again."""
        _, routes = self._observe(site, options["device"])
        own = [route for route in routes if BY_KERNEL not in route]
        kept = (" ".join(w for w in route.split() if w not in STATE_WORDS) for route in own)
        return {"routes": "\n".join(kept)}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Take it down."""
        site.node.run(["ip", "link", "set", active.options["device"], "down"])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The link is down, and no route goes by it: the kernel can send nothing there."""
        device = active.options["device"]
        state, routes = self._observe(site, device)
        if state != "DOWN" or routes:
            return ""
        return f"{device} of {site.node.name} is DOWN, and no route goes by it"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Bring it up and restore its routes; a machine that was started since has new ones."""
        if same_life(site, active):
            site.node.run(["sh", "-c", heal_script(active)])


def heal_script(active: ActiveFault) -> str:
    """Return the shell script that heals the fault, as often as it is run."""
    device = active.options["device"]
    routes = active.before.get("routes", "").splitlines()
    restored = [ROUTE.substitute(route=route, device=device) for route in routes]
    return " && ".join([UP.substitute(device=device), *restored])


FAULTS = (NicDown(),)
