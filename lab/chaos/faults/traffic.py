"""Faults of what a machine sends: delayed, reordered, corrupted.

By the kernel's netem, or where it has none by halab-delay.

halab-delay serves a packet queue (NFQUEUE) on the machine, into which a chain of this fault's own,
in iptables' mangle table, sends what leaves by eth0: the machine's packets and its pods'. ARP is
not delayed. If the program dies, packets pass (--queue-bypass).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import FaultError
from lab.chaos import node_program, qdisc
from lab.chaos.fault import Base, same_life

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault, Options

PROGRAM = "halab-delay"
MEANS = ("auto", "netem", "delay")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
PINGS = 5
PERCENT = 100.0
QUEUE = "NFQUEUE --queue-num {0} --queue-bypass"


def milliseconds(word: str) -> float | None:
    """Read a time as tc and the program know it: 500us, 100ms, 1.5s. Nothing where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", word)
    return float(found[1]) * UNITS[found[2]] if found else None


def round_trip(site: FaultSite, peer: str) -> float | None:
    """Measure the round trip to a peer in milliseconds: the mean of some pings.

    Nothing where none came back.
    """
    ping = ["ping", "-n", "-q", "-c", str(PINGS), "-i", "0.02", "-W", "2", peer]
    found = re.search(r"= [\d.]+/([\d.]+)/", site.node.run(ping, check=False).output)
    return float(found[1]) if found else None


def netem_missing(site: FaultSite) -> str:
    """Say why netem cannot be used."""
    return qdisc.missing(site, "netem", "netem delay 1ms")


def queue_missing(site: FaultSite) -> str:
    """Say why halab-delay cannot be used; the rule is tried in a chain of its own that nothing leads to."""
    rule = QUEUE.format(0)
    table = "iptables -w -t mangle"
    probe = f"try=halab-try-$$; {table} -N $try && {table} -A $try -j {rule}; code=$?; {table} -F $try; {table} -X $try; exit $code"
    missing = node_program.missing(site, PROGRAM)
    tried = site.node.run(
        ["sh", "-c", f"command -v iptables >/dev/null || {{ echo no iptables; exit 1; }}; {probe}"],
        check=False,
    )
    return missing or ("" if tried.code == 0 else f"no packet queue: {tried.output.strip()}")


@dataclass(frozen=True)
class Traffic(Base):
    """What a machine sends is held, reordered or damaged."""

    name: str
    summary: str
    netem: str
    """What follows `tc qdisc add dev eth0 root handle 1a1b: netem`, with the options filled in."""
    program: str
    """halab-delay's words, with the options filled in."""
    counts: str
    """The number of halab-delay's that must grow."""
    options: Options = field(default_factory=dict)
    needs: str = "netem, or packet queues (NFQUEUE)"
    evidence_timeout_s: float = 10.0

    def missing(self, site: FaultSite) -> str:
        """One of the two means must be there."""
        netem = netem_missing(site)
        queue = queue_missing(site) if netem else ""
        return f"{netem}; {queue}" if netem and queue else ""

    def check(self, site: FaultSite, options: Options) -> str:
        """The options must mean something, and the means asked for be there."""
        for word in ("delay", "jitter"):
            if milliseconds(options.get(word, "0ms")) is None:
                return f"{word}={options[word]}: a time like 500us, 100ms or 1.5s"
        share = options.get("percent", "1").removesuffix("%")
        if not re.fullmatch(r"\d+(\.\d+)?", share) or not 0 < float(share) <= PERCENT:
            return f"percent={options['percent']}: a number above 0, at most 100"
        if options["means"] not in MEANS:
            return f"means={options['means']}: {', '.join(MEANS)}"
        lacking = {"netem": netem_missing, "delay": queue_missing}.get(
            options["means"], lambda _: ""
        )(site)
        taken = lacking or qdisc.taken(site) or self._taken(site)
        return taken or (
            ""
            if self._peer(site)
            else "no other machine answers a ping, so a delay could not be shown"
        )

    def _taken(self, site: FaultSite) -> str:
        chains = site.node.run(
            ["iptables", "-w", "-t", "mangle", "-S", "POSTROUTING"], check=False
        ).output
        return (
            f"{site.node.name} has such a fault already: heal that first"
            if "-j halab-" in chains
            else ""
        )

    def _peer(self, site: FaultSite) -> str:
        """Return the first machine that answers a ping."""
        order = sorted(site.others.values(), key=lambda other: (other.role != "worker", other.name))
        return next(
            (
                other.ip
                for other in order
                if site.node.run(["ping", "-c", "1", "-W", "1", other.ip], check=False).code == 0
            ),
            "",
        )

    def prepare(self, site: FaultSite, options: Options) -> Options:
        """Choose the means, and measure a round trip while it is whole."""
        means = options["means"]
        if means == "auto":
            means = "delay" if netem_missing(site) else "netem"
        peer = self._peer(site)
        return {"means": means, "peer": peer, "round_trip": str(round_trip(site, peer) or 0.0)}

    def inject(self, site: FaultSite, active: ActiveFault) -> None:
        """Begin."""
        words = {key: value.removesuffix("%") for key, value in active.options.items()}
        if active.before["means"] == "netem":
            qdisc.put(site, "netem " + self.netem.format(**words))
            return
        number, name = int(active.id, 16) % 0xFFFF, f"halab-{active.id}"
        start = node_program.start_words(
            active, PROGRAM, ["--queue", str(number), *self.program.format(**words).split()]
        )
        table = "iptables -w -t mangle"
        rules = f"{table} -N {name} && {table} -A {name} -j {QUEUE.format(number)} && {table} -A POSTROUTING -o {qdisc.DEVICE} -j {name}"
        site.node.run(["sh", "-c", f"{shlex.join(start)} && {rules}"])

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """Pings are late by the delay; or else the counters of what was damaged or overtaken grow."""
        means = "netem" if active.before["means"] == "netem" else PROGRAM
        before, now = float(active.before["round_trip"]), round_trip(site, active.before["peer"])
        if self.counts == "held":
            wanted = (
                (milliseconds(active.options["delay"]) or 0)
                - (milliseconds(active.options["jitter"]) or 0)
            ) / 2
            late = now is not None and now - before >= max(wanted, 0.1)
            return (
                f"{means}: round trip to {active.before['peer']} {before:.1f} ms before, {now:.1f} ms now"
                if late
                else ""
            )
        if means == "netem":
            found = qdisc.evidence(site)
            return f"netem: {found}" if found else ""
        count = node_program.told(site, active, PROGRAM).get(self.counts, 0)
        return (
            f"{means}: {count} packets {'corrupted' if self.counts == 'corrupted' else 'sent before their turn'}"
            if count
            else ""
        )

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Packets pass first, then the program ends and lets go what it held."""
        if not same_life(site, active):
            return
        if active.before["means"] == "netem":
            qdisc.remove(site)
            return
        name, table = f"halab-{active.id}", "iptables -w -t mangle"
        rules = f"{table} -D POSTROUTING -o {qdisc.DEVICE} -j {name}; {table} -F {name}; {table} -X {name}"
        script = f"{{ {rules}; systemctl stop {node_program.unit(active, PROGRAM)}; }} >/dev/null 2>&1; {table} -S | grep {name}"
        left = site.node.run(["sh", "-c", script], check=False).output
        if left:
            raise FaultError(f"rules are left on {site.node.name}: {left}")


FAULTS = (
    Traffic(
        "latency", "delay what a node sends (--set delay=100ms --set jitter=10ms --set means=auto|netem|delay)",
        "delay {delay} {jitter}", "--delay {delay} --jitter {jitter}", "held",
        {"delay": "100ms", "jitter": "10ms", "means": "auto"},
    ),
    Traffic(
        "corrupt", "flip a bit in a share of what a node sends (--set percent=1 --set means=auto|netem|delay)",
        "corrupt {percent}%", "--corrupt {percent}", "corrupted",
        {"percent": "1", "means": "auto"},
    ),
    Traffic(
        "reorder", "send a share of packets before their turn, delay the others (--set percent=25 --set delay=10ms --set means=auto|netem|delay)",
        "delay {delay} reorder {percent}%", "--delay {delay} --reorder {percent}", "early",
        {"percent": "25", "delay": "10ms", "means": "auto"},
    ),
)  # fmt: skip
