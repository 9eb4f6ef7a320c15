"""The connections that a node's kernel saw, as events of the history. Pure: text in, events out.

The text is what `conntrack -E -o timestamp` prints (conntrack-tools 1.4, event_cb in
src/conntrack.c; libnetfilter_conntrack, src/conntrack/snprintf_default.c): a line for each change,
with the time, the kind of change, the protocol, TCP's state, and two tuples. The first one is the
question's, the second one the answer's: its source is the pod that kube-proxy chose. kube-proxy
(mode iptables here, likewise in nftables) translates the destination, and conntrack records that.
A packet that is refused before (a Service without endpoints) makes no connection.

The time is when conntrack printed the line (it asks the clock just before), not when the kernel saw
the change. On a busy machine the first is later, by as long as conntrack waited for a processor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.analysis.history.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINE = re.compile(
    r"\[(?P<t>\d+\.\d+)\s*\]\s+\[(?P<change>NEW|UPDATE)\] (?P<protocol>tcp|udp)\s+\d+ \d+ "
    r"(?:(?P<state>[A-Z_]+) )?"
    r"src=(?P<client>\S+) dst=(?P<service>\S+) sport=(?P<sport>\d+) dport=(?P<port>\d+) "
    r".*?src=(?P<endpoint>\S+) "
)
OVER = {"FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE"}
"""TCP's states once a side has ended the connection: one question was asked on it."""
QUICK_S = 0.1
"""A connection that is over sooner was a good one: only their number goes into the history."""
COUNTED_S = 1.0
"""Good connections are counted by the second."""


@dataclass(frozen=True, slots=True)
class TracedAddress:
    """What is traced: a Service's address in the cluster."""

    name: str
    """The first part of the name of the probes that ask it."""
    ip: str
    port: int
    protocol: str


@dataclass(slots=True)
class Connection:
    """A connection; times are those of the lines, never earlier than the kernel's."""

    name: str
    """Its address's."""
    client: str
    endpoint: str
    """The pod that it went to; empty if none was chosen."""
    begin: float
    answered: float | None = None
    end: float | None = None

    @property
    def quick(self) -> bool:
        """Whether it was answered and over at once."""
        return (
            self.answered is not None and self.end is not None and self.end < self.begin + QUICK_S
        )


def connections(lines: Iterable[str], addresses: Iterable[TracedAddress]) -> list[Connection]:
    """Return the connections to these addresses, in the order in which they began."""
    names = {(each.protocol, each.ip, str(each.port)): each.name for each in addresses}
    begun: list[Connection] = []
    known: dict[tuple[str, ...], Connection] = {}
    for line in lines:
        match = LINE.match(line)
        if match is None:
            continue  # the last line of a node that died
        name = names.get((match["protocol"], match["service"], match["port"]))
        if name is None:
            continue
        key = (match["protocol"], match["client"], match["sport"], match["service"])
        if match["change"] == "NEW":
            # Without a translation the answer would come from the Service's own address.
            endpoint = "" if match["endpoint"] == match["service"] else match["endpoint"]
            known[key] = Connection(name, match["client"], endpoint, float(match["t"]))
            begun.append(known[key])
        elif key in known:
            _update(known[key], match)
    return sorted(begun, key=lambda each: each.begin)


def _update(connection: Connection, match: re.Match[str]) -> None:
    at = float(match["t"])
    if connection.answered is None:
        connection.answered = at
    over = match["protocol"] == "udp" or match["state"] in OVER
    if over and connection.end is None:
        connection.end = at


def of_askers(connections: Iterable[Connection], service: str) -> list[Connection]:
    """Return the connections of the pods that measure: those that ask the test Service.

    Others on the node ask DNS, too. If nobody asked the test Service, all are returned.
    """
    rows = list(connections)
    askers = {row.client for row in rows if row.name == service}
    return [row for row in rows if not askers or row.client in askers]


def events(
    node: str, connections: Iterable[Connection], shift: float, until: float
) -> Iterator[Event]:
    """Return a node's connections as events.

    `shift` is added to their times to get seconds since the run began; what began after `until`,
    on that clock, is left out. Quick ones are only counted.
    """
    rows = [row for row in connections if row.begin + shift <= until]
    yield from (_event(node, row, shift) for row in rows if not row.quick)
    begins: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        if row.quick:
            begin = row.begin + shift
            begins.setdefault((row.name, row.endpoint, int(begin // COUNTED_S)), []).append(begin)
    for (name, endpoint, _), times in begins.items():
        about = {"node": node, "to": name, "endpoint": endpoint}
        counted = {"state": "answers", "count": len(times), "end": round(max(times), 6)}
        yield Event(min(times), "trace", {**about, **counted})


def _event(node: str, row: Connection, shift: float) -> Event:
    ends = {"answered": row.answered, "end": row.end}
    times = {key: round(at + shift, 6) for key, at in ends.items() if at is not None}
    about = {"node": node, "to": row.name, "endpoint": row.endpoint}
    return Event(row.begin + shift, "connection", {**about, **times})
