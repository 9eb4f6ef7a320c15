"""The lines of a node's journal that show when a failover reached its next stage.

Pure: text in, `log` events out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FIELDS = "MESSAGE,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,_COMM"
"""What journalctl is asked for; every entry has its time, too."""
RULES = (
    ("token-lost", "corosync", r"\[TOTEM *\] A processor failed, forming new configuration"),
    ("membership", "corosync", r"\[TOTEM *\] A new membership .* was formed"),
    ("quorum", "corosync", r"\[QUORUM *\] This node is within the (primary|non-primary) component"),
    (
        "fencing",
        "pacemaker-controld",
        r"Requesting fencing \((off|reboot)\) (of|targeting) node \S+",
    ),
    ("not-fenced", "pacemaker-controld", r"Peer \S+ was not terminated \((off|reboot)\)"),
    ("fenced", "pacemaker-fenced", r"Operation '?(off|reboot)'? .*targeting \S+ .*: (OK|complete)"),
    ("fenced", "pacemaker-controld", r"Peer \S+ was terminated \((off|reboot)\) .*: OK"),
    ("vip-start", "IPaddr2", r"Adding inet address"),
    (
        "vip-start",
        "pacemaker-controld",
        r"Result of start operation for FAILOVER-ADDR on \S+: (OK|ok)",
    ),
    (
        "vip-stop",
        "pacemaker-controld",
        r"Result of stop operation for FAILOVER-ADDR on \S+: (OK|ok)",
    ),
    ("dc-idle", "pacemaker-controld", r"State transition S_\w+ -> S_IDLE"),
    ("leader", "etcd", r"(became leader at term|elected leader|lost leader)"),
)
"""The stage, a part of the writer's identifier or unit, and the pattern of its line (Corosync 3.1,
Pacemaker 2.1 and 3.0, etcd 3.6)."""
_RULES = tuple((what, who, re.compile(pattern)) for what, who, pattern in RULES)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal. `t`: the machine's monotonic clock, seconds."""

    t: float
    node: str
    who: str
    unit: str
    text: str


def entries(node: str, lines: Iterable[str]) -> Iterator[Entry]:
    """Return the entries in what `journalctl -o json` prints.

    What is no entry is left out: a journal that was cut off ends in the middle of a line.
    """
    for line in lines:
        try:
            row = json.loads(line)
            at = int(row["__MONOTONIC_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError):
            continue
        who = row.get("SYSLOG_IDENTIFIER") or row.get("_COMM") or ""
        yield Entry(
            at, node, str(who), str(row.get("_SYSTEMD_UNIT") or ""), _text(row.get("MESSAGE"))
        )


def _text(message: Any) -> str:  # noqa: ANN401 (the journal's own: text, or bytes as numbers)
    if isinstance(message, list):
        return bytes(value & 0xFF for value in message if isinstance(value, int)).decode(
            errors="replace"
        )
    return str(message or "")


def milestone(entry: Entry) -> str:
    """Return the stage that an entry shows; empty for none."""
    writer = f"{entry.who} {entry.unit}"
    for what, who, pattern in _RULES:
        if who in writer and pattern.search(entry.text):
            return what
    return ""


def events(journal: Iterable[Entry], begin: float) -> Iterator[Event]:
    """Return the `log` events of entries, their times counted from `begin` on the same clock."""
    for entry in journal:
        what = milestone(entry)
        if what and entry.t >= begin:
            yield Event(
                entry.t - begin,
                "log",
                {
                    "node": entry.node,
                    "unit": entry.who,
                    "what": what,
                    "text": entry.text.strip()[:300],
                },
            )


def timeline(journal: Iterable[Entry], begin: float) -> str:
    """Return entries as text, one a line, by their times.

    A line has the seconds since the run began, the node, the writer, and the message.
    """
    rows = sorted(journal, key=lambda entry: entry.t)
    return "".join(
        f"{entry.t - begin:12.6f} {entry.node:<6} {entry.who}: {_one_line(entry.text)}\n"
        for entry in rows
    )


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
