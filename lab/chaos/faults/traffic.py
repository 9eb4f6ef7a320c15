"""Faults of what a machine sends: delayed, reordered, corrupted.

By the kernel's netem; if it has none, by halab-delay.

halab-delay serves a packet queue (NFQUEUE) on the machine. A chain of the fault's own, in iptables'
mangle table, sends into it what leaves by eth0: the machine's packets and its pods'. ARP is not
delayed. If the program dies, packets pass (--queue-bypass).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base import durations
from lab.base.errors import FaultError
from lab.chaos import node_program, qdisc
from lab.chaos.fault import Base, same_life
from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROGRAM = "halab-delay"
MEANS = ("auto", "netem", "delay")
UNITS = ("us", "ms", "s")
PINGS = 5
PERCENT = 100.0

TRY_QUEUE = Script(
    "try-queue",
    """
mangle() { iptables -w -t mangle "$@"; }
command -v iptables >/dev/null || { echo no iptables; exit 1; }
try=halab-try-$$
mangle -N $try && mangle -A $try -j NFQUEUE --queue-num 0 --queue-bypass
code=$?
mangle -F $try
mangle -X $try
exit $code
""",
)
"""Tries the rule in a chain that nothing leads to."""
QUEUE = Script(
    "queue-packets",
    """
set -e
mangle() { iptables -w -t mangle "$@"; }
chain=$1 queue=$2 device=$3
shift 3
"$@"
mangle -N "$chain"
mangle -A "$chain" -j NFQUEUE --queue-num "$queue" --queue-bypass
mangle -A POSTROUTING -o "$device" -j "$chain"
""",
)
"""$4…: the command that starts halab-delay."""
UNQUEUE = Script(
    "let-packets-pass",
    """
mangle() { iptables -w -t mangle "$@"; }
chain=$1 device=$2 program=$3
{
    mangle -D POSTROUTING -o "$device" -j "$chain"
    mangle -F "$chain"
    mangle -X "$chain"
    systemctl stop "$program"
} >/dev/null 2>&1
mangle -S | grep "$chain"
""",
)
"""Shows the rules that are left."""


def milliseconds(text: str) -> float | None:
    """Return a time as tc and halab-delay read it (500us, 100ms, 1.5s); None if it is none."""
    return durations.milliseconds(text, UNITS)


def round_trip(site: FaultSite, peer: str) -> float | None:
    """Return the mean round trip of some pings in milliseconds; None if none came back."""
    ping = ["ping", "-n", "-q", "-c", str(PINGS), "-i", "0.02", "-W", "2", peer]
    mean = re.search(r"= [\d.]+/([\d.]+)/", site.node.run(ping, check=False).output)
    return float(mean[1]) if mean else None


def netem_missing(site: FaultSite) -> str:
    """Return why netem cannot be used."""
    return qdisc.missing(site, "netem", "netem delay 1ms")


def queue_missing(site: FaultSite) -> str:
    """Return why halab-delay cannot be used."""
    missing = node_program.missing(site, PROGRAM)
    attempt = TRY_QUEUE.run(site.node, check=False)
    if missing or attempt.code == 0:
        return missing
    return f"no packet queue: {attempt.output.strip()}"


@dataclass(frozen=True)
class Traffic(Base):
    """What a machine sends is delayed, reordered or damaged."""

    name: str
    summary: str
    netem: str
    """What follows `netem` on tc's command line, with the options to be filled in."""
    program: str
    """halab-delay's arguments, with the options to be filled in."""
    counts: str
    """The number of halab-delay's that must grow; `held`: pings must be late."""
    options: Options = field(default_factory=dict)
    needs: str = "netem, or packet queues (NFQUEUE)"
    evidence_timeout_s: float = 10.0

    def missing(self, site: FaultSite) -> str:
        """One of the two means must be there."""
        netem = netem_missing(site)
        queue = queue_missing(site) if netem else ""
        return f"{netem}; {queue}" if netem and queue else ""

    def check(self, site: FaultSite, options: Options) -> str:
        """The options must be valid, and the means asked for be there."""
        return self._invalid(options) or self._unusable(site, options["means"])

    def _invalid(self, options: Options) -> str:
        for name in ("delay", "jitter"):
            if milliseconds(options.get(name, "0ms")) is None:
                return f"{name}={options[name]}: a time like 500us, 100ms or 1.5s"
        share = options.get("percent", "1").removesuffix("%")
        if not re.fullmatch(r"\d+(\.\d+)?", share) or not 0 < float(share) <= PERCENT:
            return f"percent={options['percent']}: a number above 0, at most 100"
        if options["means"] not in MEANS:
            return f"means={options['means']}: {', '.join(MEANS)}"
        return ""

    def _unusable(self, site: FaultSite, means: str) -> str:
        lacking = {"netem": netem_missing, "delay": queue_missing}.get(means, lambda _: "")(site)
        taken = lacking or qdisc.taken(site) or self._taken(site)
        if taken or self._peer(site):
            return taken
        return "no other machine answers a ping, so a delay could not be shown"

    def _taken(self, site: FaultSite) -> str:
        show = ["iptables", "-w", "-t", "mangle", "-S", "POSTROUTING"]
        if "-j halab-" not in site.node.run(show, check=False).output:
            return ""
        return f"{site.node.name} has such a fault already: heal that first"

    def _peer(self, site: FaultSite) -> str:
        """Return the address of the first machine that answers a ping; workers are asked first."""
        order = sorted(site.others.values(), key=lambda other: (other.role != "worker", other.name))
        for other in order:
            if site.node.run(["ping", "-c", "1", "-W", "1", other.ip], check=False).code == 0:
                return other.ip
        return ""

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Choose the means, and measure a round trip before anything is delayed."""
        means = options["means"]
        if means == "auto":
            means = "delay" if netem_missing(site) else "netem"
        peer = self._peer(site)
        return {"means": means, "peer": peer, "round_trip": str(round_trip(site, peer) or 0.0)}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Put netem in place, or start halab-delay and send packets to it."""
        options = {name: value.removesuffix("%") for name, value in active.options.items()}
        if active.before["means"] == "netem":
            qdisc.put(site, "netem " + self.netem.format(**options))
            return
        queue = str(int(active.id, 16) % 0xFFFF)
        arguments = ["--queue", queue, *self.program.format(**options).split()]
        start = node_program.start_command(active, PROGRAM, arguments)
        QUEUE.run(site.node, _chain(active), queue, qdisc.DEVICE, *start)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Pings are late by the delay; or the counter of what was damaged or overtaken grows."""
        # A quiet node sends nothing: the pings are also what is damaged or overtaken.
        now = round_trip(site, active.before["peer"])
        if self.counts == "held":
            return self._late(active, now)
        if active.before["means"] == "netem":
            passed = qdisc.evidence(site)
            return f"netem: {passed}" if passed else ""
        count = node_program.counts(site, active, PROGRAM).get(self.counts, 0)
        done = "corrupted" if self.counts == "corrupted" else "sent before their turn"
        return f"{PROGRAM}: {count} packets {done}" if count else ""

    def _late(self, active: ActiveFault, now: float | None) -> str:
        """Return that pings take at least half of the delay longer than before; empty if not."""
        means = "netem" if active.before["means"] == "netem" else PROGRAM
        peer, before = active.before["peer"], float(active.before["round_trip"])
        delay = milliseconds(active.options["delay"]) or 0
        jitter = milliseconds(active.options["jitter"]) or 0
        if now is None or now - before < max((delay - jitter) / 2, 0.1):
            return ""
        return f"{means}: round trip to {peer} {before:.1f} ms before, {now:.1f} ms now"

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """First let packets pass; then end the program, which releases those that it holds."""
        if not same_life(site, active):
            return
        if active.before["means"] == "netem":
            qdisc.remove(site)
            return
        unit = node_program.unit(active, PROGRAM)
        left = UNQUEUE.run(site.node, _chain(active), qdisc.DEVICE, unit, check=False).output
        if left:
            raise FaultError(f"rules are left on {site.node.name}: {left}")


def _chain(active: ActiveFault) -> str:
    return f"halab-{active.id}"


FAULTS = (
    Traffic(
        "latency",
        "delay what a node sends "
        "(--set delay=100ms --set jitter=10ms --set means=auto|netem|delay)",
        netem="delay {delay} {jitter}",
        program="--delay {delay} --jitter {jitter}",
        counts="held",
        options={"delay": "100ms", "jitter": "10ms", "means": "auto"},
    ),
    Traffic(
        "corrupt",
        "flip a bit in a share of what a node sends (--set percent=1 --set means=auto|netem|delay)",
        netem="corrupt {percent}%",
        program="--corrupt {percent}",
        counts="corrupted",
        options={"percent": "1", "means": "auto"},
    ),
    Traffic(
        "reorder",
        "send a share of packets before their turn, delay the others "
        "(--set percent=25 --set delay=10ms --set means=auto|netem|delay)",
        netem="delay {delay} reorder {percent}%",
        program="--delay {delay} --reorder {percent}",
        counts="early",
        options={"percent": "25", "delay": "10ms", "means": "auto"},
    ),
)
