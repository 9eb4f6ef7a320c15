"""What is dropped at a machine's wire: by nftables, or by tc if the kernel is older.

nftables hooks into the way out of a device (family netdev, hook egress) since Linux 5.16, if it was
built in (CONFIG_NETFILTER_EGRESS): Ubuntu 22.04's and WSL2's 5.15 and Debian 11's 5.10 lack it.
tc's clsact (Linux 4.5) sits at the same place in both directions; a classifier written in the old
packet filter's language (bpf(8), "direct-action") drops there what its program accepts, and needs
neither tc's other classifiers nor its actions, which some kernels lack. Either way senders see no
error, ARP is dropped, too, and the kernel counts what was dropped: that is the evidence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import product
from string import Template
from typing import TYPE_CHECKING

from lab.chaos.qdisc import DEVICE
from lab.chaos.script import Script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.chaos.fault import FaultSite

MEANS = ("auto", "nft", "tc")
WAYS = {"in": "ingress", "out": "egress"}
SHOT, GO_ON = 2, 0xFFFFFFFF
"""What a program returns for a packet: TC_ACT_SHOT drops it, TC_ACT_UNSPEC (-1) leaves it to the
next one."""
PREF = 6683
"""The place of a fault's filters among others (0x1a1b, as qdisc.HANDLE)."""
DARK_PREF = 1
DARK_TABLE = "halab_dark"
EVERYTHING = f"1,6 0 0 {SHOT}"
"""The program that drops everything, as tc reads it: one instruction, `ret #2`."""
PROTOCOLS = {"tcp": 6, "udp": 17}
# Instructions of the packet filter (linux/filter.h), and the places of fields in a frame: RFC 894
# (a header of 14 bytes), RFC 791 (IPv4 after it), RFC 826 (ARP after it).
LOAD_WORD, LOAD_HALF, LOAD_BYTE, LOAD_AT_X, LENGTH_TO_X = 0x20, 0x28, 0x30, 0x48, 0xB1
EQUAL, ANY_BIT, RETURN = 0x15, 0x45, 0x06
TYPE, IPV4, ARP = 12, 0x0800, 0x0806
ETHER = {"saddr": 6, "daddr": 0}
IP = {"saddr": 26, "daddr": 30}
ARP_IP = {"saddr": 28, "daddr": 38}
PORT = {"sport": 14, "dport": 16}
PROTOCOL, FRAGMENT, FRAGMENT_BITS, HEADER = 23, 20, 0x1FFF, 14

TRY_NFT = Script(
    "try-nft",
    r"""
try=halab_try_$$
nft "add table netdev $try; \
     add chain netdev $try t { type filter hook egress device \"lo\" priority 0; }"
code=$?
nft delete table netdev $try 2>/dev/null
exit $code
""",
)
TRY_TC = Script(
    "try-tc",
    """
try=halab-$$ pref=$1 program=$2
ip link add $try type veth peer name peer-$$ || exit 1
tc qdisc add dev $try clsact &&
    tc filter add dev $try egress protocol all pref "$pref" bpf da bytecode "$program"
code=$?
ip link del $try
exit $code
""",
)

_FIRE_ARGUMENTS = """
table=$1 device=$2 ping=$3
shift 3
"""
_APPLY = {
    "nft": """
show() { nft list table netdev "$table"; }
counted='counter packets [1-9]'
nft -f - || exit
""",
    "tc": """
show() { tc -s qdisc show dev "$device"; }
counted='clsact [^(]*(dropped [1-9]'
tc qdisc add dev "$device" clsact && tc -batch - || exit
""",
}
_PROVOKE = r"""
for address in "$@"; do
    $ping "$address" >/dev/null 2>&1 &
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    show | tr '\n' ' ' | grep -q "$counted" && break
    sleep 0.01
done
show
"""
FIRE = {
    means: Script(f"drop-by-{means}", _FIRE_ARGUMENTS + apply + _PROVOKE)
    for means, apply in _APPLY.items()
}
"""By means: read rules from standard input, apply them, ping, and show what was dropped.

$1 nftables' table, $2 the device, $3 a ping without its address, $4… addresses. grep sees the lines
joined. `dropped` reads what is shown.
"""

REMOVE = Script(
    "remove-drops",
    """
table=$1 device=$2 pref=$3
nft delete table netdev "$table" 2>/dev/null
left=
for hook in ingress egress; do
    tc filter del dev "$device" $hook pref "$pref"
    left="$left$(tc filter show dev "$device" $hook)"
done 2>/dev/null
# clsact goes with the last filter.
test -n "$left" || tc qdisc del dev "$device" clsact 2>/dev/null
case $left in
*"pref $pref "*)
    echo "filters of tc stay: $left"
    exit 1
    ;;
esac
! nft list table netdev "$table" 2>/dev/null
""",
)
"""Removes rules, whatever the means; fails if some stay."""

SILENCE_BY_NFT = Template(
    "add table netdev $table; "
    "add chain netdev $table ingress "
    '{ type filter hook ingress device "$device" priority -500; policy drop; }; '
    "add chain netdev $table egress "
    '{ type filter hook egress device "$device" priority -500; policy drop; }'
)
SILENCE_BY_TC = Script(
    "silence-by-tc",
    """
device=$1 pref=$2 program=$3
# A partition's clsact may be there already.
tc qdisc add dev "$device" clsact 2>/dev/null
for hook in ingress egress; do
    tc filter add dev "$device" $hook protocol all pref "$pref" bpf da bytecode "$program" || exit
done
""",
)


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
        """Return the drop as a rule of nftables."""
        key = {"all": "", "arp": f"arp {self.side} ip"}.get(self.what, f"{self.what} {self.side}")
        chosen = f"{key} {{{','.join(self.values)}}}" if key else ""
        ports = ",".join(map(str, self.ports))
        port = f"{self.protocol} {self.end} {{{ports}}}" if self.protocol else ""
        return " ".join(filter(None, (chosen, port, "counter drop")))

    def programs(self) -> list[str]:
        """Return the drop as programs of the packet filter, one for each address and port."""
        return [self._program(*pair) for pair in product(self.values or [""], self.ports or [0])]

    def _program(self, value: str, port: int) -> str:
        steps: list[tuple[int, int]] = []

        def field(load: int, where: int, value: int) -> None:
            steps.extend([(load, where), (EQUAL, value)])

        if self.what == "ether":
            mac, where = bytes.fromhex(value.replace(":", "")), ETHER[self.side]
            field(LOAD_WORD, where, int.from_bytes(mac[:4], "big"))
            field(LOAD_HALF, where + 4, int.from_bytes(mac[4:], "big"))
        elif self.what in {"ip", "arp"}:
            place = (IP if self.what == "ip" else ARP_IP)[self.side]
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
    """Return a program as tc reads it: what passes all tests is dropped, all else goes on."""
    lines = []
    for number, (code, value) in enumerate(steps):
        away = len(steps) - number  # to the last instruction: jumps count from the next one
        if_true, if_false = {EQUAL: (0, away), ANY_BIT: (away, 0)}.get(code, (0, 0))
        lines.append(f"{code} {if_true} {if_false} {value}")
    lines += [f"{RETURN} 0 0 {SHOT}", f"{RETURN} 0 0 {GO_ON}"]
    return ",".join([str(len(lines)), *lines])


def nft_missing(site: FaultSite) -> str:
    """Return why nftables cannot drop on the way out; tries it in a table that is removed."""
    attempt = TRY_NFT.run(site.node, check=False)
    if attempt.code == 0:
        return ""
    if "not found" in attempt.output:
        return "its image has no nft"
    return "this kernel has no hook of nftables at the way out (netdev egress, Linux 5.16)"


def tc_missing(site: FaultSite) -> str:
    """Return why tc cannot drop; tries it on an interface that is removed."""
    attempt = TRY_TC.run(site.node, str(PREF), EVERYTHING, check=False)
    return "" if attempt.code == 0 else f"tc's clsact with bpf: {attempt.output.strip()}"


def missing(site: FaultSite) -> str:
    """Return why neither means can be used; empty if one can."""
    no_nft = nft_missing(site)
    no_tc = tc_missing(site) if no_nft else ""
    return f"{no_nft}; {no_tc}" if no_nft and no_tc else ""


def chosen(site: FaultSite, means: str) -> str:
    """Return the means to use: for `auto`, nftables if it can be used."""
    if means != "auto":
        return means
    return "tc" if nft_missing(site) else "nft"


def refused(site: FaultSite, means: str, device: str = DEVICE) -> str:
    """Return why the means asked for cannot be used; changes nothing."""
    if means not in MEANS:
        return f"means={means}: {', '.join(MEANS)}"
    lacking = {"nft": nft_missing, "tc": tc_missing}.get(means, lambda _: "")(site)
    if lacking or chosen(site, means) == "nft":
        return lacking
    # The kernel counts what clsact drops, not what each filter does.
    disciplines = site.node.run(["tc", "qdisc", "show", "dev", device], check=False).output
    again = f"{site.node.name} has such a fault at {device} already: heal that first"
    return again if "clsact" in disciplines else ""


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
    lines = []
    for drop in drops:
        add = f"filter add dev {device} {WAYS[drop.way]} protocol all pref {PREF}"
        lines += [f'{add} bpf da bytecode "{program}"\n' for program in drop.programs()]
    return "".join(lines)


def show_command(means: str, table: str, device: str = DEVICE) -> list[str]:
    """Return the command that shows what was dropped; `dropped` reads it."""
    if means == "nft":
        return ["nft", "list", "table", "netdev", table]
    return ["tc", "-s", "qdisc", "show", "dev", device]


def dropped(site: FaultSite, text: str) -> str:
    """Return the evidence in what nft or tc shows; empty if nothing was dropped."""
    counts = re.findall(r"counter packets (\d+)", text)
    counts += re.findall(r"qdisc clsact [^(]*\(dropped (\d+)", text)
    count = sum(map(int, counts))
    return f"{count} packets dropped at {site.node.name}" if count else ""


def remove(site: FaultSite, table: str, device: str = DEVICE, pref: int = PREF) -> None:
    """Remove rules, whatever the means. Raises CommandFailed if some stay."""
    REMOVE.run(site.node, table, device, str(pref))


def silence(site: FaultSite, means: str) -> None:
    """Drop everything that comes or goes at the machine's wire."""
    if means == "nft":
        rules = SILENCE_BY_NFT.substitute(table=DARK_TABLE, device=DEVICE)
        site.node.run(["nft", rules])
    else:
        SILENCE_BY_TC.run(site.node, DEVICE, str(DARK_PREF), EVERYTHING)


def lift(site: FaultSite) -> None:
    """Undo `silence`, and what a baseboard controller did before a kill that never came."""
    remove(site, DARK_TABLE, pref=DARK_PREF)
