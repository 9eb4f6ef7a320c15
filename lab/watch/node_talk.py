"""What is asked of a node, in one conversation: its journal as it grows, and answers on demand.

Pure: the shell that runs there, and what its lines mean. It ends with its standard input, so that
nothing stays behind when a watch is killed.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event
from lab.live.active_faults import PRINT, printed
from lab.measure.journal_events import FIELDS, entries
from lab.measure.journal_events import events as milestones

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.live.active_faults import ActiveFault

WRITERS = ("corosync", "pacemaker-controld", "pacemaker-fenced", "IPaddr2(FAILOVER-ADDR)")
"""Whose lines show a failover's stages (SYSLOG_IDENTIFIER)."""
COROSYNC, CONTROLLER, FAULTS = "corosync", "dc", "faults"
"""The questions: members by Corosync, Pacemaker's designated controller, records of faults."""
_FILTER = " ".join(f"-t '{writer}'" for writer in WRITERS)
PROGRAM = f"""
if command -v corosync-quorumtool >/dev/null; then
    journalctl -f -n 0 -q -o json --output-fields={FIELDS} {_FILTER} &
    follower=$!
    trap 'kill $follower' EXIT
fi
records() {{
    {PRINT}
}}
while read -r question; do
    case $question in
        {COROSYNC}) answer=$(timeout 2 corosync-quorumtool -s 2>&1 | base64 -w0) ;;
        {CONTROLLER}) answer=$(timeout 2 crmadmin -D 2>&1 | base64 -w0) ;;
        {FAULTS}) answer=$(records | base64 -w0) ;;
        *) continue ;;
    esac
    printf '%s %s\\n' "$question" "$answer"
done
"""
"""An answer is one line, written at once: the journal's lines come between answers, not within."""


@dataclass(slots=True)
class NodeTalk:
    """One node's conversation: its lines become events."""

    node: str
    begin: float
    """The zero of the events, on this process's monotonic clock."""
    clock: float = 0.0
    """What must be added to the machine's clock to get this process's."""
    wall_offset: float = 0.0
    """POSIX time less this process's monotonic clock: a fault's record has the time of day."""
    faults: dict[str, ActiveFault] = field(default_factory=dict)

    def events(self, lines: Iterable[bytes], now: float) -> Iterator[Event]:
        """Return the events in lines that were heard at `now`, on the events' clock."""
        for raw in lines:
            line = raw.decode(errors="replace")
            if line.startswith("{"):
                yield from milestones(entries(self.node, [line]), self.begin - self.clock)
            else:
                question, _, encoded = line.partition(" ")
                yield from self.answer(question, _text(encoded), now)

    def answer(self, question: str, output: str, now: float) -> Iterator[Event]:
        """Return the events in the answer to a question: what its command printed."""
        if question == COROSYNC:
            names = members(output)
            about: dict[str, Any] = {"members": names} if names else {"ok": False}
            yield Event(now, "cluster", {"node": self.node, **about})
        elif question == CONTROLLER:
            yield Event(now, "dc", {"name": controller(output)})
        elif question == FAULTS:
            records = printed(output, self.node)
            if records is not None:  # an answer that was cut off says nothing of any fault
                yield from self.take_faults(records.active, now)

    def take_faults(self, active: Iterable[ActiveFault], now: float) -> Iterator[Event]:
        """Return the faults that are new, and those that are gone."""
        current = {fault.id: fault for fault in active}
        for key, fault in current.items():
            if key not in self.faults:
                fired = fault.since - self.wall_offset - self.begin if fault.since else now
                yield _fault(min(fired, now), "fire", fault)
        for key, fault in self.faults.items():
            if key not in current:
                yield _fault(now, "healed", fault)
        self.faults = current


def _fault(t: float, action: str, fault: ActiveFault) -> Event:
    about = {"id": f"{fault.node}/{fault.id}", "fault": fault.fault, "node": fault.node}
    return Event(t, "fault", {"action": action, **about})


def _text(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""


def members(output: str) -> list[str]:
    """Read corosync-quorumtool's table of members; empty if Corosync does not answer."""
    _, _, table = output.partition("Membership information")
    rows = [line.split() for line in table.splitlines()]
    return [row[2] for row in rows if len(row) > 2 and row[0].isdigit()]  # noqa: PLR2004 (id, votes, name)


def controller(output: str) -> str:
    """Read crmadmin's answer: `Designated Controller is: m 3.0.0`; "" for none."""
    _, _, rest = output.partition("Designated Controller is: ")
    return rest.split()[0] if rest.split() else ""


def own_probe(configuration: dict[str, Any], program: str) -> list[str]:
    """Return the command that samples on a node itself, until its standard input ends."""
    text = json.dumps(configuration)
    return ["sh", "-c", f"exec {program} /dev/fd/3 3<<'END'\n{text}\nEND\n"]
