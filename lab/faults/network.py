"""Faults of the network: partitions and loss by nftables, rate by tbf, the rest by netem where the kernel has it.

Rules stand in a table of their own at the machine's wire (family netdev): kube-proxy's and flannel's are not touched, ARP is dropped,
too, and senders see no error, as they would from a rule in the output chain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.faults import Base

if TYPE_CHECKING:
    from lab.faults import Hit, Options, Site
    from lab.node import NodeHandle

PORTS = {"corosync": ("udp", "{5405}"), "etcd": ("tcp", "{2379,2380}"), "api": ("tcp", "{6443}")}
"""Corosync's knet; etcd's clients and peers; the API. Both ends of a connection are meant: who asked is not known."""
DEVICE = "eth0"
PERCENT = 100.0


def table(hit: Hit) -> str:
    """Name the fault's own table."""
    return f"halab_{hit.id}"


def peers(site: Site, words: str) -> list[NodeHandle]:
    """Give the machines that `from` names: nodes' names or roles, by commas, or all."""
    chosen: dict[str, NodeHandle] = {}
    for word in words.split(","):
        role = word.removesuffix("s")
        chosen |= {other.name: other for other in site.others.values() if word in {"all", other.name} or role == other.role}
    return [chosen[name] for name in sorted(chosen)]


def wires(site: Site, others: list[NodeHandle]) -> list[str]:
    """Give the MAC addresses of those that run: the floating address is its holder's, whoever that is."""
    networks = (site.engine.inspect(other.container)["NetworkSettings"]["Networks"] for other in others)
    return sorted({place["MacAddress"] for network in networks for place in network.values() if place.get("MacAddress")})


def chain(name: str, hook: str, lines: list[str]) -> str:
    """Render a chain at the machine's wire."""
    body = "\n".join(lines)
    return f'chain {name} {{\ntype filter hook {hook} device "{DEVICE}" priority -400; policy accept;\n{body}\n}}\n'


class _Rules(Base):
    """Faults that are a table of nftables; its counters are their proof."""

    def rules(self, site: Site, hit: Hit) -> str:
        """Give the table as nft reads it."""
        raise NotImplementedError

    def inject(self, site: Site, hit: Hit) -> None:
        """Lay the table down at once."""
        site.node.run(["nft", "-f", "-"], stdin=self.rules(site, hit).encode())

    def proof(self, site: Site, hit: Hit) -> str:
        """A counter of the table has counted."""
        text = site.node.run(["nft", "list", "table", "netdev", table(hit)], check=False).output
        dropped = sum(int(number) for number in re.findall(r"counter packets (\d+)", text))
        return f"{dropped} packets dropped at {site.node.name}" if dropped else ""

    def heal(self, site: Site, hit: Hit) -> None:
        """Remove the table; a machine that is off has lost it already."""
        if site.engine.inspect(site.node.container)["State"]["Status"] == "running":
            site.node.run(["nft", "delete", "table", "netdev", table(hit)], check=False)


@dataclass(frozen=True)
class Partition(_Rules):
    """Nothing between the node and the others named; ARP neither."""

    name: str = "partition"
    summary: str = "cut a node off (--set from=all|masters|workers|NODE,… --set way=both|in|out --set port=all|corosync|etcd|api)"
    options: Options = field(default_factory=lambda: {"from": "all", "way": "both", "port": "all"})

    def check(self, site: Site, options: Options) -> str:
        """The words must mean something."""
        if options["way"] not in {"both", "in", "out"}:
            return f"way={options['way']}: both, in or out"
        if options["port"] not in {"all", *PORTS}:
            return f"port={options['port']}: all, {', '.join(PORTS)}"
        if site.node.run(["sh", "-c", "command -v nft"], check=False).code != 0:
            return "its image has no nft"
        return "" if peers(site, options["from"]) else f"from={options['from']}: names no other node of this lab"

    def prepare(self, site: Site, options: Options) -> Options:
        """Note the others' wires; so many engine calls are not made while the fault fires."""
        return {"wires": ",".join(wires(site, peers(site, options["from"])))}

    def rules(self, site: Site, hit: Hit) -> str:
        """Drop what comes from and what goes to the others; by wire and by address, as a machine that is off has no wire yet."""
        others = peers(site, hit.options["from"])
        addresses = "{" + ",".join(other.ip for other in others) + "}"
        macs = "{" + hit.before["wires"] + "}"
        kind, numbers = PORTS.get(hit.options["port"], ("", ""))
        ports = [f"{kind} {end} {numbers}" for end in ("sport", "dport")] if kind else [""]
        chains = ""
        for way, hook, side in (("in", "ingress", "saddr"), ("out", "egress", "daddr")):
            if hit.options["way"] not in {way, "both"}:
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

    def inject(self, site: Site, hit: Hit) -> None:
        """Lay the rules down and send something for them to drop: a quiet node would show no effect for seconds."""
        knock = "; ".join(f"busybox ping -c 1 -W 1 {other.ip} >/dev/null 2>&1 &" for other in peers(site, hit.options["from"])).replace("&;", "&")
        site.node.run(["sh", "-c", f"nft -f - && {{ {knock} }}"], stdin=self.rules(site, hit).encode())


@dataclass(frozen=True)
class Loss(_Rules):
    """A share of what comes in is lost, at random; so senders are not told, as they would be of their own packets."""

    name: str = "loss"
    summary: str = "lose a share of all packets that come in (--set percent=5)"
    options: Options = field(default_factory=lambda: {"percent": "5"})

    def check(self, site: Site, options: Options) -> str:
        """A share is a number."""
        if site.node.run(["sh", "-c", "command -v nft"], check=False).code != 0:
            return "its image has no nft"
        good = re.fullmatch(r"\d+(\.\d)?", options["percent"]) and 0 < float(options["percent"]) <= PERCENT
        return "" if good else f"percent={options['percent']}: a number above 0, at most 100, with one decimal at most"

    def rules(self, site: Site, hit: Hit) -> str:
        """Draw a number for each packet."""
        del site
        share = round(float(hit.options["percent"]) * 10)
        rule = f"meta protocol ip numgen random mod 1000 < {share} counter drop"
        return f"table netdev {table(hit)} {{\n{chain('in', 'ingress', [rule])}}}\n"


@dataclass(frozen=True)
class Queue(Base):
    """A queueing discipline at the machine's way out; one at a time."""

    name: str
    summary: str
    kind: str
    words: str
    """What follows `tc qdisc add dev eth0 root handle 1a1b:`, with the options filled in."""
    options: Options = field(default_factory=dict)
    needs: str = ""

    def check(self, site: Site, options: Options) -> str:
        """Try it on a throw-away interface of the node's, which is removed at once: kernels lack some disciplines."""
        if any(not re.fullmatch(r"[0-9.]+[a-z%]*", value) for value in options.values()):
            return "options are numbers with units: 100ms, 1mbit, 5%"
        words = self.words.format(**options)
        probe = (
            "ip link del halab-try 2>/dev/null; ip link add halab-try type veth peer name halab-try2 || exit 1; "
            f"tc qdisc add dev halab-try root {words}; code=$?; ip link del halab-try; exit $code"
        )
        tried = site.node.run(["sh", "-c", probe], check=False)
        if tried.code != 0:
            lacking = "qdisc" in tried.output or "Unknown" in tried.output
            return f"this kernel lacks {self.kind}" if lacking else tried.output.strip()
        if f"qdisc {self.kind}" in self._shown(site) or "1a1b:" in self._shown(site):
            return f"{site.node.name} has such a fault already: heal that first"
        return ""

    def _shown(self, site: Site) -> str:
        return site.node.run(["tc", "-s", "qdisc", "show", "dev", DEVICE, "root"], check=False).output

    def inject(self, site: Site, hit: Hit) -> None:
        """Put it in place of the one that was there."""
        site.node.run(["sh", "-c", f"tc qdisc replace dev {DEVICE} root handle 1a1b: {self.words.format(**hit.options)}"])

    def proof(self, site: Site, hit: Hit) -> str:
        """Packets went through it."""
        del hit
        shown = self._shown(site)
        sent = re.search(r"Sent (\d+) bytes", shown)
        return f"{shown.splitlines()[0]}: {sent[1]} bytes went through" if "1a1b:" in shown and sent and sent[1] != "0" else ""

    def heal(self, site: Site, hit: Hit) -> None:
        """The kernel's own discipline comes back."""
        del hit
        if site.engine.inspect(site.node.container)["State"]["Status"] == "running" and "1a1b:" in self._shown(site):
            site.node.run(["tc", "qdisc", "del", "dev", DEVICE, "root"], check=False)


NETEM = "the kernel's netem"
FAULTS = (
    Partition(),
    Loss(),
    Queue("rate", "limit what a node sends (--set rate=1mbit)", "tbf", "tbf rate {rate} burst 16kb latency 400ms", {"rate": "1mbit"}),
    Queue(
        "latency", "delay what a node sends (--set delay=100ms --set jitter=10ms)", "netem", "netem delay {delay} {jitter}",
        {"delay": "100ms", "jitter": "10ms"}, NETEM,
    ),
    Queue("corrupt", "flip a bit in a share of what a node sends (--set percent=1%)", "netem", "netem corrupt {percent}", {"percent": "1%"}, NETEM),
    Queue(
        "reorder", "send a share of packets before their turn (--set percent=25% --set delay=10ms)", "netem",
        "netem delay {delay} reorder {percent}", {"percent": "25%", "delay": "10ms"}, NETEM,
    ),
)  # fmt: skip
