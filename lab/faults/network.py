"""Faults of the network: partitions and loss by nftables, rate by tbf. What delays, reorders or corrupts is in delay.py.

Rules stand in a table of their own at the machine's wire (family netdev): kube-proxy's and flannel's are not touched, ARP is dropped,
too, and senders see no error, as they would from a rule in the output chain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import TYPE_CHECKING

from lab.faults import Base, qdisc, same_life

if TYPE_CHECKING:
    from lab.faults import Hit, Options, Site
    from lab.node import NodeHandle

PORTS = {"corosync": ("udp", "{5405}"), "etcd": ("tcp", "{2379,2380}"), "api": ("tcp", "{6443}")}
"""Corosync's knet; etcd's clients and peers; the API. Both ends of a connection are meant: who asked is not known."""
DEVICE = "eth0"
PERCENT = 100.0
ANSWERS = 20
"""So many are asked of each machine at once: of seven, a loss of 5 % takes one with all but certainty (1 - 0.95**140)."""


def table(hit: Hit) -> str:
    """Name the fault's own table."""
    return f"halab_{hit.id}"


def peers(site: Site, words: str) -> list[NodeHandle]:
    """Give the machines that `from` names, by commas: all, rest (all that this fault does not hit), minority, majority, roles, names."""
    minority, majority = site.topology.halves
    sets = {"all": tuple(site.others), "rest": tuple(set(site.others) - set(site.group)), "minority": minority, "majority": majority}
    chosen: set[str] = set()
    for word in words.split(","):
        role = word.removesuffix("s")
        chosen |= {name for name, other in site.others.items() if name in sets.get(word, (word,)) or role == other.role}
    return [site.others[name] for name in sorted(chosen)]


def unheard(names: list[str], own: str) -> list[str]:
    """Give whom a master does not hear in a ring: all but the majority around it. No two masters hear the same majority.

    Of five, each hears itself and its neighbours on both sides; of three, itself and the one before it.
    """
    size = len(names) // 2 + 1
    first = names.index(own) - size // 2
    heard = {names[(first + step) % len(names)] for step in range(size)}
    return [name for name in names if name not in heard]


def wires(site: Site, others: list[NodeHandle]) -> list[str]:
    """Give the MAC addresses of those that run: the floating address is its holder's, whoever that is."""
    networks = (site.engine.inspect(other.container)["NetworkSettings"]["Networks"] for other in others)
    return sorted({place["MacAddress"] for network in networks for place in network.values() if place.get("MacAddress")})


def chain(name: str, hook: str, lines: list[str], device: str = DEVICE) -> str:
    """Render a chain at the machine's wire."""
    body = "\n".join(lines)
    return f'chain {name} {{\ntype filter hook {hook} device "{device}" priority -400; policy accept;\n{body}\n}}\n'


def dropped(site: Site, text: str) -> str:
    """Read `nft list table`: the proof, where a counter has counted."""
    count = sum(int(number) for number in re.findall(r"counter packets (\d+)", text))
    return f"{count} packets dropped at {site.node.name}" if count else ""


def fire(site: Site, hit: Hit, rules: str, knocks: list[str]) -> str:
    """Lay rules down (or none), knock at them, and look whether they have dropped something: one command, as each costs the engine 50 ms or more."""
    knock = " ".join(f"{word} >/dev/null 2>&1 &" for word in knocks)
    look = f"nft list table netdev {table(hit)}"
    wait = f"for _ in 1 2 3 4 5 6 7 8 9 10; do {look} | grep -q 'counter packets [1-9]' && break; sleep 0.01; done; {look}"
    return dropped(site, site.node.run(["sh", "-c", f"nft -f - && {{ {knock} {wait}; }}"], stdin=rules.encode()).output)


class _Rules(Base):
    """Faults that are a table of nftables; its counters are their proof."""

    needs = "nft on the node"

    def lacks(self, site: Site) -> str:
        """The load balancer has no nft."""
        return "" if site.node.run(["sh", "-c", "command -v nft"], check=False).code == 0 else "its image has no nft"

    def rules(self, site: Site, hit: Hit) -> str:
        """Give the table as nft reads it."""
        raise NotImplementedError

    def inject(self, site: Site, hit: Hit) -> str | None:
        """Lay the table down at once."""
        site.node.run(["nft", "-f", "-"], stdin=self.rules(site, hit).encode())
        return None

    def proof(self, site: Site, hit: Hit) -> str:
        """A counter of the table has counted."""
        return dropped(site, site.node.run(["nft", "list", "table", "netdev", table(hit)], check=False).output)

    def heal(self, site: Site, hit: Hit) -> None:
        """Remove the table."""
        if same_life(site, hit):
            site.node.run(["sh", "-c", f"nft delete table netdev {table(hit)} 2>/dev/null; ! nft list table netdev {table(hit)} 2>/dev/null"])


@dataclass(frozen=True)
class Partition(_Rules):
    """Nothing between the node and the others named; ARP neither."""

    name: str = "partition"
    summary: str = (
        "cut nodes off (--set from=all|rest|masters|workers|minority|majority|NODE,… --set way=both|in|out --set port=all|corosync|etcd|api); "
        "--set shape=ring: no two masters hear the same majority"
    )
    options: Options = field(default_factory=lambda: {"from": "all", "way": "both", "port": "all", "shape": "cut"})

    def check(self, site: Site, options: Options) -> str:
        """The words must mean something."""
        if options["way"] not in {"both", "in", "out"}:
            return f"way={options['way']}: both, in or out"
        if options["port"] not in {"all", *PORTS}:
            return f"port={options['port']}: all, {', '.join(PORTS)}"
        if options["shape"] not in {"cut", "ring"}:
            return f"shape={options['shape']}: cut or ring"
        if options["shape"] == "ring":
            return self._ring(site, options)
        return "" if peers(site, options["from"]) else f"from={options['from']}: names no other node of this lab"

    def _ring(self, site: Site, options: Options) -> str:
        masters = [node.name for node in site.topology.masters]
        if len(masters) < 3:  # noqa: PLR2004 (with two, a majority is both)
            return "a ring needs three masters or more"
        if site.node.name not in masters:
            return "a ring is made of masters (target role:master)"
        if options["from"] != "all" or options["way"] == "out":
            return "in a ring it is settled who does not hear whom: leave from and way out"
        return ""

    def prepare(self, site: Site, options: Options) -> Options:
        """Settle who is meant, and note their wires; so many engine calls are not made while the fault fires."""
        others = peers(site, options["from"])
        if options["shape"] == "ring":
            others = [site.others[name] for name in unheard([node.name for node in site.topology.masters], site.node.name)]
        way = "in" if options["shape"] == "ring" else options["way"]
        return {"peers": ",".join(other.name for other in others), "wires": ",".join(wires(site, others)), "way": way}

    def rules(self, site: Site, hit: Hit) -> str:
        """Drop what comes from and what goes to the others; by wire and by address, as a machine that is off has no wire yet."""
        others = self._others(site, hit)
        addresses = "{" + ",".join(other.ip for other in others) + "}"
        macs = "{" + hit.before["wires"] + "}"
        kind, numbers = PORTS.get(hit.options["port"], ("", ""))
        ports = [f"{kind} {end} {numbers}" for end in ("sport", "dport")] if kind else [""]
        chains = ""
        for way, hook, side in (("in", "ingress", "saddr"), ("out", "egress", "daddr")):
            if hit.before["way"] not in {way, "both"}:
                continue
            lines = [f"ip {side} {addresses} {port} counter drop" for port in ports]
            if hit.before["wires"]:
                lines += [f"ether {side} {macs} {port} counter drop" for port in ports]
            if not kind:
                lines.append(f"arp {side} ip {addresses} counter drop")
            if not kind and hit.options["from"] == "all":
                lines.append("ether daddr ff:ff:ff:ff:ff:ff counter drop")  # nobody hears its announcements
            chains += chain(way, hook, lines)
        return f"table netdev {table(hit)} {{\n{chains}}}\n"

    def _others(self, site: Site, hit: Hit) -> list[NodeHandle]:
        return [site.others[name] for name in hit.before["peers"].split(",")]

    def inject(self, site: Site, hit: Hit) -> str:
        """Lay the rules down and send something for them to drop: a quiet node would show no effect for seconds."""
        return fire(site, hit, self.rules(site, hit), [f"busybox ping -c 1 -W 1 {other.ip}" for other in self._others(site, hit)])


@dataclass(frozen=True)
class Loss(_Rules):
    """A share of what comes in is lost, at random; so senders are not told, as they would be of their own packets."""

    name: str = "loss"
    summary: str = "lose a share of all packets that come in (--set percent=5)"
    options: Options = field(default_factory=lambda: {"percent": "5"})

    def check(self, site: Site, options: Options) -> str:
        """A share is a number."""
        del site
        good = re.fullmatch(r"\d+(\.\d)?", options["percent"]) and 0 < float(options["percent"]) <= PERCENT
        return "" if good else f"percent={options['percent']}: a number above 0, at most 100, with one decimal at most"

    def rules(self, site: Site, hit: Hit) -> str:
        """Draw a number for each packet."""
        del site
        share = round(float(hit.options["percent"]) * 10)
        rule = f"meta protocol ip numgen random mod 1000 < {share} counter drop"
        return f"table netdev {table(hit)} {{\n{chain('in', 'ingress', [rule])}}}\n"

    def inject(self, site: Site, hit: Hit) -> str:
        """Lay the rules down and ask the others: a quiet node would lose nothing for seconds."""
        return fire(site, hit, self.rules(site, hit), self._knocks(site))

    def proof(self, site: Site, hit: Hit) -> str:
        """Ask again: of a small share, the first answers may all have come in."""
        return fire(site, hit, "", self._knocks(site))

    def _knocks(self, site: Site) -> list[str]:
        return [f"ping -q -c {ANSWERS} -i 0.01 -W 1 {other.ip}" for _, other in sorted(site.others.items())]


@dataclass(frozen=True)
class BmcUnreachable(_Rules):
    """Nothing in or out at the management interface: this master can reach no baseboard controller, and so fence nobody."""

    name: str = "bmc-unreachable"
    summary: str = "cut a master off the management network, so that it can fence nobody (--set device=mgmt0)"
    options: Options = field(default_factory=lambda: {"device": "mgmt0"})
    needs: str = "nft, and a management network (fencing)"

    def lacks(self, site: Site) -> str:
        """A second network must be there."""
        names = site.node.run(["ls", "/sys/class/net"], check=False).output
        return super().lacks(site) or ("" if re.search(r"mgmt\d|eth[1-9]", names) else "the node has no second network (fencing is off?)")

    def check(self, site: Site, options: Options) -> str:
        """The interface must be there."""
        if not re.fullmatch(r"[a-z][a-z0-9]{0,14}", options["device"]) or options["device"] == DEVICE:
            return f"device={options['device']}: an interface's name, but not {DEVICE} (that is `partition`)"
        return "" if self._network(site, options["device"]) else f"{site.node.name} has no interface {options['device']}"

    def _network(self, site: Site, device: str) -> str:
        """Give the interface's address and network, or nothing."""
        shown = site.node.run(["ip", "-4", "-o", "addr", "show", "dev", device], check=False).output
        found = re.search(r"inet (\S+)", shown)
        return found[1] if found else ""

    def prepare(self, site: Site, options: Options) -> Options:
        """Choose an address to knock at: any neighbour's, as already the question for its wire is dropped."""
        place = ip_interface(self._network(site, options["device"]))
        return {"knock": str(next(address for address in place.network.hosts() if address != place.ip))}

    def rules(self, site: Site, hit: Hit) -> str:
        """Drop everything."""
        del site
        device = hit.options["device"]
        both = "".join(chain(way, hook, ["counter drop"], device) for way, hook in (("in", "ingress"), ("out", "egress")))
        return f"table netdev {table(hit)} {{\n{both}}}\n"

    def inject(self, site: Site, hit: Hit) -> str:
        """Lay the rules down and knock."""
        return fire(site, hit, self.rules(site, hit), [f"busybox ping -c 1 -W 1 {hit.before['knock']}"])


RATE = "tbf rate {rate} burst 16kb latency 400ms"


@dataclass(frozen=True)
class Rate(Base):
    """A narrow way out, by the queueing discipline tbf: what does not fit waits, then is lost."""

    name: str = "rate"
    summary: str = "limit what a node sends (--set rate=1mbit)"
    options: Options = field(default_factory=lambda: {"rate": "1mbit"})
    needs: str = "tbf in the kernel"

    def lacks(self, site: Site) -> str:
        """Some kernels lack it."""
        return qdisc.lacks(site, "tbf", RATE.format(rate="1mbit"))

    def check(self, site: Site, options: Options) -> str:
        """A rate as tc knows it; one discipline at a time."""
        if not re.fullmatch(r"\d+(\.\d+)?[kmg]?bit", options["rate"]):
            return f"rate={options['rate']}: for example 500kbit, 1mbit"
        return qdisc.taken(site)

    def inject(self, site: Site, hit: Hit) -> None:
        """Put it in place of the one that was there."""
        qdisc.put(site, RATE.format(**hit.options))

    def proof(self, site: Site, hit: Hit) -> str:
        """Packets went through it."""
        del hit
        return qdisc.proof(site)

    def heal(self, site: Site, hit: Hit) -> None:
        """The kernel's own discipline comes back."""
        if same_life(site, hit):
            qdisc.remove(site)


FAULTS = (Partition(), Loss(), BmcUnreachable(), Rate())
