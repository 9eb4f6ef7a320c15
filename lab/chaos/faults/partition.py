"""Faults of the network: partitions and loss. What delays, reorders or corrupts is in traffic.py.

Packets are dropped at the machine's wire (wire.py): the rules of kube-proxy and flannel are not
touched, ARP is dropped, too, and senders see no error, as they would from an output chain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from lab.chaos import node_program, wire
from lab.chaos.nft import Rules, fire, table
from lab.chaos.qdisc import DEVICE
from lab.chaos.wire import Drop
from lab.engine.spec import mac_of

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.engine.node import NodeHandle
    from lab.live.active_faults import ActiveFault, Options

PORTS = {"corosync": ("udp", (5405,)), "etcd": ("tcp", (2379, 2380)), "api": ("tcp", (6443,))}
"""Corosync's knet; etcd's clients and peers; the API. Both ends of a connection are dropped: which
of them opened it is not known."""
BROADCAST = "ff:ff:ff:ff:ff:ff"
PERCENT = 100.0
ANSWERS = 20
"""Each machine is pinged so often: with seven machines, a loss of 5 % takes an answer almost
certainly (1 - 0.95**140)."""
PING_ONCE = "busybox ping -c 1 -W 1"
PING_OFTEN = f"ping -q -c {ANSWERS} -i 0.01 -W 1"
"""Each without the address."""


def peers(site: FaultSite, names: str) -> list[NodeHandle]:
    """Return the machines that the option `from` names, several separated by commas.

    all, rest (all that this fault does not hit), minority, majority, a role, or a machine's name.
    """
    minority, majority = site.topology.halves
    sets = {
        "all": tuple(site.others),
        "rest": tuple(set(site.others) - set(site.group)),
        "minority": minority,
        "majority": majority,
    }
    chosen: set[str] = set()
    for part in names.split(","):
        role = part.removesuffix("s")
        chosen |= {
            name
            for name, other in site.others.items()
            if name in sets.get(part, (part,)) or role == other.role
        }
    return [site.others[name] for name in sorted(chosen)]


def unheard(names: list[str], own: str) -> list[str]:
    """Return the masters that one master does not hear in a ring: all but the majority around it.

    No two masters hear the same majority. Of five, each hears itself and its neighbours on both
    sides; of three, itself and the one before it.
    """
    size = len(names) // 2 + 1
    first = names.index(own) - size // 2
    heard = {names[(first + step) % len(names)] for step in range(size)}
    return [name for name in names if name not in heard]


def wires(site: FaultSite, others: list[NodeHandle]) -> list[str]:
    """Return the MAC addresses that the machines have now, and those that they get when they boot.

    They identify the holder of the floating address, whichever machine that is.
    """
    states = (site.engine.inspect(other.container) for other in others)
    networks = [state["NetworkSettings"]["Networks"] for state in states]
    now = {endpoint.get("MacAddress") for network in networks for endpoint in network.values()}
    return sorted({mac for mac in now if mac} | {mac_of(other.ip) for other in others})


@dataclass(frozen=True)
class Partition(Rules):
    """Nothing passes between the node and the others named, not even ARP."""

    name: str = "partition"
    summary: str = (
        "cut nodes off (--set from=all|rest|masters|workers|minority|majority|NODE,… "
        "--set way=both|in|out --set port=all|corosync|etcd|api); "
        "--set shape=ring: no two masters hear the same majority; --set means=auto|nft|tc"
    )
    options: Options = field(
        default_factory=lambda: {
            "from": "all",
            "way": "both",
            "port": "all",
            "shape": "cut",
            "means": "auto",
        }
    )

    def check(self, site: FaultSite, options: Options) -> str:
        """The options must be valid."""
        if options["way"] not in {"both", "in", "out"}:
            return f"way={options['way']}: both, in or out"
        if options["port"] not in {"all", *PORTS}:
            return f"port={options['port']}: all, {', '.join(PORTS)}"
        if options["shape"] not in {"cut", "ring"}:
            return f"shape={options['shape']}: cut or ring"
        if options["shape"] == "ring":
            wrong = self._ring(site, options)
        else:
            there = peers(site, options["from"])
            wrong = "" if there else f"from={options['from']}: names no other node of this lab"
        return wrong or wire.refused(site, options["means"])

    def _ring(self, site: FaultSite, options: Options) -> str:
        masters = [node.name for node in site.topology.masters]
        if len(masters) < 3:  # noqa: PLR2004 (with two, a majority is both)
            return "a ring needs three masters or more"
        if site.node.name not in masters:
            return "a ring is made of masters (target role:master)"
        if options["from"] != "all" or options["way"] == "out":
            return "a ring decides by itself who does not hear whom: leave out `from` and `way`"
        return ""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Find the others and their MAC addresses: that takes too many calls while it fires."""
        others = peers(site, options["from"])
        if options["shape"] == "ring":
            others = [
                site.others[name]
                for name in unheard([node.name for node in site.topology.masters], site.node.name)
            ]
        way = "in" if options["shape"] == "ring" else options["way"]
        return {
            "peers": ",".join(other.name for other in others),
            "wires": ",".join(wires(site, others)),
            "way": way,
            "means": wire.chosen(site, options["means"]),
        }

    def drops(self, site: FaultSite, active: ActiveFault) -> list[Drop]:
        """Drop what comes from and what goes to the others: by IP address, and by MAC address.

        By MAC address, what they send or receive under an IP address that is not their own: the
        floating one, whichever of them holds it. If nobody but them can hold it, it is dropped by
        its IP address, too: a master that boots later may have another MAC address.
        """
        others = self._others(site, active)
        names = {other.name for other in others} | {site.node.name}
        addresses = tuple(other.ip for other in others)
        if {master.name for master in site.topology.masters} <= names:
            addresses += (str(site.topology.network.vip),)
        wires_ = tuple(active.before["wires"].split(",")) if active.before["wires"] else ()
        kind, numbers = PORTS.get(active.options["port"], ("", ()))
        ends = ("sport", "dport") if kind else ("",)
        drops: list[Drop] = []
        for way, side in (("in", "saddr"), ("out", "daddr")):
            if active.before["way"] not in {way, "both"}:
                continue
            for what, values in (("ip", addresses), ("ether", wires_)):
                more = [Drop(way, what, side, values, kind, end, numbers) for end in ends]
                drops += more if values else []
            if not kind:
                drops.append(Drop(way, "arp", side, addresses))
            if not kind and active.options["from"] == "all":
                # Nobody hears its announcements.
                drops.append(Drop(way, "ether", "daddr", (BROADCAST,)))
        return drops

    def _others(self, site: FaultSite, active: ActiveFault) -> list[NodeHandle]:
        return [site.others[name] for name in active.before["peers"].split(",")]

    def inject(self, site: FaultSite, active: ActiveFault) -> str:
        """Apply the rules and send something for them to drop."""
        addresses = [other.ip for other in self._others(site, active)]
        return fire(site, active, self.rules(site, active), PING_ONCE, addresses)


@dataclass(frozen=True)
class Loss(Rules):
    """A share of what comes in is lost, at random.

    Not of what goes out: senders would get an error for their own packets.
    """

    name: str = "loss"
    summary: str = "lose a share of all packets that come in (--set percent=5)"
    options: Options = field(default_factory=lambda: {"percent": "5"})
    needs: str = "nft on the node"

    def check(self, site: FaultSite, options: Options) -> str:
        """A share is a number."""
        del site
        share = options["percent"]
        if re.fullmatch(r"\d+(\.\d)?", share) and 0 < float(share) <= PERCENT:
            return ""
        return f"percent={share}: a number above 0, at most 100, with one decimal at most"

    def missing(self, site: FaultSite) -> str:
        """It needs nft alone: every kernel has its hook at the way in (Linux 4.2)."""
        return "" if node_program.exists(site, "nft") else "its image has no nft"

    def rules(self, site: FaultSite, active: ActiveFault) -> str:
        """Draw a number for each packet."""
        del site
        share = round(float(active.options["percent"]) * 10)
        rule = f"meta protocol ip numgen random mod 1000 < {share} counter drop"
        head = f'type filter hook ingress device "{DEVICE}" priority -400; policy accept;'
        return f"table netdev {table(active)} {{\nchain in {{\n{head}\n{rule}\n}}\n}}\n"

    def inject(self, site: FaultSite, active: ActiveFault) -> str:
        """Apply the rules and ping the others."""
        return self._fire(site, active, self.rules(site, active))

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Ping again: of a small share, none of the first answers may have been lost."""
        return self._fire(site, active, "")

    def _fire(self, site: FaultSite, active: ActiveFault, rules: str) -> str:
        addresses = [other.ip for _, other in sorted(site.others.items())]
        return fire(site, active, rules, PING_OFTEN, addresses)


@dataclass(frozen=True)
class BmcUnreachable(Rules):
    """Nothing passes the management interface.

    This master can reach no baseboard controller, and so fence nobody.
    """

    name: str = "bmc-unreachable"
    summary: str = (
        "cut a master off the management network, so that it can fence nobody "
        "(--set device=mgmt0 --set means=auto|nft|tc)"
    )
    options: Options = field(default_factory=lambda: {"device": "mgmt0", "means": "auto"})
    needs: str = f"{Rules.needs}, and a management network (fencing)"

    def device(self, options: Options) -> str:
        """Return the interface that the options name."""
        return options["device"]

    def missing(self, site: FaultSite) -> str:
        """A second network must be there."""
        names = site.node.run(["ls", "/sys/class/net"], check=False).output
        missing = super().missing(site)
        if missing or re.search(r"mgmt\d|eth[1-9]", names):
            return missing
        return "the node has no second network (fencing is off?)"

    def check(self, site: FaultSite, options: Options) -> str:
        """The interface must be there."""
        device = options["device"]
        if not re.fullmatch(r"[a-z][a-z0-9]{0,14}", device) or device == DEVICE:
            return f"device={device}: an interface's name, but not {DEVICE} (that is `partition`)"
        if not self._network(site, device):
            return f"{site.node.name} has no interface {device}"
        return wire.refused(site, options["means"], device)

    def _network(self, site: FaultSite, device: str) -> str:
        """Return the interface's address and network; empty if it has none."""
        show = ["ip", "-4", "-o", "addr", "show", "dev", device]
        address = re.search(r"inet (\S+)", site.node.run(show, check=False).output)
        return address[1] if address else ""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Choose an address to ping: any neighbour's, as even the ARP request is dropped."""
        own = ip_interface(self._network(site, options["device"]))
        neighbour = next(address for address in own.network.hosts() if address != own.ip)
        return {"knock": str(neighbour), "means": wire.chosen(site, options["means"])}

    def drops(self, site: FaultSite, active: ActiveFault) -> list[Drop]:
        """Drop everything."""
        del site, active
        return [Drop("in"), Drop("out")]

    def inject(self, site: FaultSite, active: ActiveFault) -> str:
        """Apply the rules and ping."""
        rules, device = self.rules(site, active), self.device(active.options)
        return fire(site, active, rules, PING_ONCE, [active.before["knock"]], device)


FAULTS = (Partition(), Loss(), BmcUnreachable())
