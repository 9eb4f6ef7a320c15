"""What is dropped at a machine's wire, by one of two means: nftables, or tc where the kernel is older.

nftables hooks into the way out of a device (family netdev, hook egress) since Linux 5.16, and where
it was built in (CONFIG_NETFILTER_EGRESS): Ubuntu 22.04's and WSL2's 5.15 and Debian 11's 5.10 lack
it. tc's clsact (Linux 4.5) sits at the same place in both directions; a classifier written in the
old packet filter's language (bpf(8), "direct-action") drops there what its program accepts, and
needs neither tc's other classifiers nor its actions, which some kernels lack. Either way senders
see no error, ARP is dropped, too, and the kernel counts what was dropped: that is the proof.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import product
from typing import TYPE_CHECKING

from lab.chaos.qdisc import DEVICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.chaos.fault import FaultSite

MEANS = ("auto", "nft", "tc")
WAYS = {"in": "ingress", "out": "egress"}
SHOT, GO_ON = 2, 0xFFFFFFFF
"""What a program says of a packet: TC_ACT_SHOT drops it, TC_ACT_UNSPEC (-1) leaves it to the next
one."""
PREF = 6683
"""Where a fault's filters stand among others (0x1a1b, as qdisc.HANDLE)."""
DARK_PREF = 1
DARK_TABLE = "halab_dark"
EVERYTHING = f"1,6 0 0 {SHOT}"
"""The program that drops all, as tc reads it: one instruction, `ret #2`."""
PROTOCOLS = {"tcp": 6, "udp": 17}
# Instructions of the packet filter (linux/filter.h), and where in a frame things stand: RFC 894 (a
# header of 14 bytes), RFC 791 (IPv4 behind it), RFC 826 (ARP behind it).
LOAD_WORD, LOAD_HALF, LOAD_BYTE, LOAD_AT_X, LENGTH_TO_X = 0x20, 0x28, 0x30, 0x48, 0xB1
EQUAL, ANY_BIT, RETURN = 0x15, 0x45, 0x06
TYPE, IPV4, ARP = 12, 0x0800, 0x0806
ETHER = {"saddr": 6, "daddr": 0}
IP = {"saddr": 26, "daddr": 30}
SPOKEN = {"saddr": 28, "daddr": 38}
PORT = {"sport": 14, "dport": 16}
PROTOCOL, FRAGMENT, FRAGMENT_BITS, HEADER = 23, 20, 0x1FFF, 14


@dataclass(frozen=True, slots=True)
class Drop:
    """Packets that are dropped: which way they go, and what they have in common."""

    way: str
    """`in` or `out`."""
    what: str = "all"
    """`all`, `ip` or `arp` (by address), `ether` (by MAC address)."""
    side: str = "saddr"
    """Whose address: `saddr` the sender's, `daddr` the receiver's."""
    values: tuple[str, ...] = ()
    protocol: str = ""
    """`tcp` or `udp`; empty: whatever it is."""
    end: str = "dport"
    ports: tuple[int, ...] = ()

    def nft(self) -> str:
        """Return it as a rule of nftables."""
        word = {"all": "", "arp": f"arp {self.side} ip"}.get(self.what, f"{self.what} {self.side}")
        chosen = f"{word} {{{','.join(self.values)}}}" if word else ""
        ports = ",".join(map(str, self.ports))
        port = f"{self.protocol} {self.end} {{{ports}}}" if self.protocol else ""
        return " ".join(filter(None, (chosen, port, "counter drop")))

    def programs(self) -> list[str]:
        """Return it as programs of the packet filter, each for one address and one port."""
        return [self._program(*pair) for pair in product(self.values or [""], self.ports or [0])]

    def _program(self, value: str, port: int) -> str:
        steps: list[tuple[int, int]] = []

        def field(load: int, where: int, wanted: int) -> None:
            steps.extend([(load, where), (EQUAL, wanted)])

        if self.what == "ether":
            mac, where = bytes.fromhex(value.replace(":", "")), ETHER[self.side]
            field(LOAD_WORD, where, int.from_bytes(mac[:4], "big"))
            field(LOAD_HALF, where + 4, int.from_bytes(mac[4:], "big"))
        elif self.what in {"ip", "arp"}:
            place = (IP if self.what == "ip" else SPOKEN)[self.side]
            field(LOAD_HALF, TYPE, IPV4 if self.what == "ip" else ARP)
            field(LOAD_WORD, place, int(IPv4Address(value)))
        if self.protocol:
            field(LOAD_HALF, TYPE, IPV4)
            field(LOAD_BYTE, PROTOCOL, PROTOCOLS[self.protocol])
            # Later fragments have no ports.
            steps.extend([(LOAD_HALF, FRAGMENT), (ANY_BIT, FRAGMENT_BITS)])
            steps.append((LENGTH_TO_X, HEADER))
            field(LOAD_AT_X, PORT[self.end], port)
        return assembled(steps)


def assembled(steps: list[tuple[int, int]]) -> str:
    """Write a program as tc reads it: what passes all tests is dropped, all else goes on."""
    lines = []
    for number, (code, value) in enumerate(steps):
        away = len(steps) - number  # to the last instruction: jumps count from the next one
        no, yes = (away, 0) if code == EQUAL else (0, away) if code == ANY_BIT else (0, 0)
        lines.append(f"{code} {yes} {no} {value}")
    lines += [f"{RETURN} 0 0 {SHOT}", f"{RETURN} 0 0 {GO_ON}"]
    return ",".join([str(len(lines)), *lines])


def nft_missing(site: FaultSite) -> str:
    """Say why nftables cannot drop on the way out; tried in a table of its own that is removed."""
    chain = '{ type filter hook egress device \\"lo\\" priority 0; }'
    script = (
        f'try=halab_try_$$; nft "add table netdev $try; add chain netdev $try t {chain}"; '
        "code=$?; nft delete table netdev $try 2>/dev/null; exit $code"
    )
    tried = site.node.run(["sh", "-c", script], check=False)
    if tried.code == 0:
        return ""
    if "not found" in tried.output:
        return "its image has no nft"
    return "this kernel has no hook of nftables at the way out (netdev egress, Linux 5.16)"


def tc_missing(site: FaultSite) -> str:
    """Say why tc cannot drop; tried at an interface of its own that is removed."""
    script = (
        "try=halab-$$; ip link add $try type veth peer name peer-$$ || exit 1; "
        f"tc qdisc add dev $try clsact && {_drop_all('$try', 'egress', PREF)}; "
        "code=$?; ip link del $try; exit $code"
    )
    tried = site.node.run(["sh", "-c", script], check=False)
    return "" if tried.code == 0 else f"tc's clsact with bpf: {tried.output.strip()}"


def missing(site: FaultSite) -> str:
    """Say why neither means can be used; empty where one can."""
    nft = nft_missing(site)
    other = tc_missing(site) if nft else ""
    return f"{nft}; {other}" if nft and other else ""


def chosen(site: FaultSite, means: str) -> str:
    """Return the means to use: nftables where it can."""
    return means if means != "auto" else "tc" if nft_missing(site) else "nft"


def refused(site: FaultSite, means: str, device: str = DEVICE) -> str:
    """Say why the means asked for cannot be used; changes nothing."""
    if means not in MEANS:
        return f"means={means}: {', '.join(MEANS)}"
    lacking = {"nft": nft_missing, "tc": tc_missing}.get(means, lambda _: "")(site)
    if lacking or chosen(site, means) == "nft":
        return lacking
    # The kernel counts what clsact drops, not what each filter does.
    shown = site.node.run(["tc", "qdisc", "show", "dev", device], check=False).output
    again = f"{site.node.name} has such a fault at {device} already: heal that first"
    return again if "clsact" in shown else ""


def tables(name: str, drops: Iterable[Drop], device: str = DEVICE) -> str:
    """Return what is dropped as a table of nftables."""
    rows, text = list(drops), ""
    for way, hook in WAYS.items():
        lines = "\n".join(drop.nft() for drop in rows if drop.way == way)
        head = f'type filter hook {hook} device "{device}" priority -400; policy accept;'
        text += f"chain {way} {{\n{head}\n{lines}\n}}\n" if lines else ""
    return f"table netdev {name} {{\n{text}}}\n"


def batch(drops: Iterable[Drop], device: str = DEVICE) -> str:
    """Return what is dropped as `tc -batch` reads it."""
    return "".join(
        f'filter add dev {device} {WAYS[drop.way]} protocol all pref {PREF} bpf da bytecode "{each}"\n'
        for drop in drops
        for each in drop.programs()
    )


def _drop_all(device: str, hook: str, pref: int) -> str:
    add = f"tc filter add dev {device} {hook} protocol all pref {pref}"
    return f"{add} bpf da bytecode '{EVERYTHING}'"


def laid(means: str, device: str = DEVICE) -> str:
    """Return the shell's words that read rules from standard input and lay them down."""
    return "nft -f -" if means == "nft" else f"tc qdisc add dev {device} clsact && tc -batch -"


def shown(means: str, name: str, device: str = DEVICE) -> str:
    """Return the shell's words that show what was dropped; `dropped` reads it."""
    return f"nft list table netdev {name}" if means == "nft" else f"tc -s qdisc show dev {device}"


COUNTED = {"nft": "counter packets [1-9]", "tc": "clsact [^(]*(dropped [1-9]"}
"""What grep finds in it, its lines joined, where something was dropped."""


def dropped(site: FaultSite, text: str) -> str:
    """Read what `shown` shows: the proof, where something was dropped."""
    counts = re.findall(r"counter packets (\d+)", text)
    counts += re.findall(r"qdisc clsact [^(]*\(dropped (\d+)", text)
    count = sum(map(int, counts))
    return f"{count} packets dropped at {site.node.name}" if count else ""


def removed(name: str, device: str = DEVICE, pref: int = PREF) -> str:
    """Return the shell's words that remove rules, whatever the means; they fail where some stay.

    clsact goes with the last filter.
    """
    return (
        f"nft delete table netdev {name} 2>/dev/null; left=; for hook in ingress egress; do "
        f"tc filter del dev {device} $hook pref {pref}; "
        f'left="$left$(tc filter show dev {device} $hook)"; done 2>/dev/null; '
        f'test -n "$left" || tc qdisc del dev {device} clsact 2>/dev/null; '
        f'case $left in *"pref {pref} "*) echo "filters of tc stay: $left"; exit 1;; esac; '
        f"! nft list table netdev {name} 2>/dev/null"
    )


def silence(site: FaultSite, means: str) -> None:
    """Drop everything that comes or goes at the machine's wire."""
    if means == "nft":
        hook = f'type filter hook {{0}} device "{DEVICE}" priority -500; policy drop;'
        chain = f"add chain netdev {DARK_TABLE} {{0}} {{{{ {hook} }}}}"
        chains = "; ".join(chain.format(name) for name in WAYS.values())
        site.node.run(["nft", f"add table netdev {DARK_TABLE}; {chains}"])
        return
    both = " && ".join(_drop_all(DEVICE, hook, DARK_PREF) for hook in WAYS.values())
    # A partition's clsact may be there already.
    site.node.run(["sh", "-c", f"tc qdisc add dev {DEVICE} clsact 2>/dev/null; {both}"])


def lift(site: FaultSite) -> None:
    """Undo `silence`, and what a baseboard controller did before a kill that never came."""
    site.node.run(["sh", "-c", removed(DARK_TABLE, pref=DARK_PREF)])
