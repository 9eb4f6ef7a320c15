"""The fault of a network interface that goes down, as when a cable is pulled or a driver fails."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.chaos.fault import Base, same_life
from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

STATE = Script(
    "nic-state",
    """
ip -br link show dev "$1"
ip -4 route show dev "$1"
""",
)
"""Shows the link's line first, then its routes, one a line."""
UP = Script(
    "nic-up",
    """
set -e
device=$1
shift
ip link set "$device" up
for route in "$@"; do
    ip -4 route replace $route dev "$device"
done
""",
)
"""$2…: routes, each as `ip` shows it."""
BY_KERNEL = "proto kernel"
"""Marks routes that the kernel makes itself from an interface's addresses, whenever it comes up."""
STATE_WORDS = {"linkdown", "dead"}
"""Words that `ip route` shows, but does not accept when a route is made."""


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
        lines = STATE.run(site.node, device, check=False).output.splitlines()
        columns = lines[0].split() if lines else []
        if not columns or columns[0].split("@")[0] != device:
            return "", []
        return columns[1], [line.strip() for line in lines[1:]]

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
            routes = active.before.get("routes", "").splitlines()
            UP.run(site.node, active.options["device"], *routes)


FAULTS = (NicDown(),)
