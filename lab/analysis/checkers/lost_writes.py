"""No acknowledged write is lost: what the API said it had written is there at the end; what it refused, or nobody asked for, is not.

Evidence for a key is the last good list or read that began after the last acknowledged write of that key had ended. A write without an
answer may or may not be there. A value that was overwritten by an acknowledged write and is there all the same means that the later one is lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History

WRITES = frozenset({"create", "write"})
SHOWN = 5
"""So many keys are named in a reason."""
_ABSENT = object()


def _reads(op: Event) -> bool:
    """Whether an operation told what is there.

    A list without an answer in it is no proof that nothing is there.
    """
    told = op.get("op") == "read" or (
        op.get("op") == "list" and isinstance(op.get("value"), dict | list)
    )
    return told and op.get("outcome") == "ok"


def _found(read: Event, key: str) -> Any:  # noqa: ANN401 (any JSON value)
    """Return what a list or read found for a key: its value, True where a list tells no values, or _ABSENT."""
    value = read.get("value")
    if read.get("op") == "read":
        return _ABSENT if value is None else value
    if isinstance(value, dict):
        return value.get(key, _ABSENT)
    return True if key in _keys(read) else _ABSENT


def _evidence(reads: list[Event], key: str, after: float) -> Event | None:
    """Return the last read of a key that began after then."""
    mine = (
        read
        for read in reads
        if read.t >= after and (read.get("op") == "list" or str(read.get("key")) == key)
    )
    return max(mine, key=lambda read: read.t, default=None)


def _judge(key: str, writes: list[Event], read: Event) -> str:
    """Say what is wrong with what was found; empty: nothing."""
    acked = [op for op in writes if op.get("outcome") == "ok"]
    value = _found(read, key)
    if value is _ABSENT:
        return "lost" if acked else ""
    if all(op.get("outcome") == "fail" for op in writes):
        return "refused"
    if value is True:
        return ""
    same = [
        op
        for op in writes
        if json.dumps(op.get("value")) == json.dumps(value) and op.get("outcome") != "fail"
    ]
    if not same:
        return "phantom"
    newest = max((op.t for op in acked), default=0.0)
    # Written by an answered write that was over before a later acknowledged one began: that one's
    # value should be there.
    return "lost" if all(op.get("outcome") == "ok" and op.end < newest for op in same) else ""


class _LostWrites:
    name = "lost_writes"
    summary = "Every acknowledged write is there at the end, and nothing that was refused or never written."

    def check(self, history: History) -> Verdict:
        ops = history.of("op")
        writes: dict[str, list[Event]] = defaultdict(list)
        for op in ops:
            if op.get("op") in WRITES:
                writes[str(op.get("key"))].append(op)
        reads = [op for op in ops if _reads(op)]
        lists = [op for op in reads if op.get("op") == "list"]
        found: dict[str, list[str]] = defaultdict(list)
        for key, mine in writes.items():
            acked = [op.end for op in mine if op.get("outcome") == "ok"]
            # What was not acknowledged may show up in any list; what was, has to be in one that
            # came after it.
            read = _evidence(lists if not acked else reads, key, max(acked, default=0.0))
            found[_judge(key, mine, read) if read else "unread" if acked else ""].append(key)
        found["phantom"] += sorted({key for read in lists for key in _keys(read)} - set(writes))
        return self._verdict(
            found,
            sum(op.get("outcome") == "ok" for mine in writes.values() for op in mine),
            bool(lists),
        )

    def _verdict(self, found: dict[str, list[str]], acked: int, listed: bool) -> Verdict:  # noqa: FBT001 (private, one call)
        sentences = {
            "lost": "acknowledged and not there at the end",
            "refused": "refused by the API and there all the same",
            "phantom": "there although nobody wrote it",
        }
        bad = [
            f"{len(found[what])} {text}: {_shown(found[what])}"
            for what, text in sentences.items()
            if found.get(what)
        ]
        unsure = []
        if found.get("unread"):
            unsure.append(
                f"{len(found['unread'])} acknowledged and never read after that: {_shown(found['unread'])}"
            )
        if not acked:
            unsure.append("no write was acknowledged")
        note = "; ".join(unsure)
        lost = (
            None
            if not acked or (unsure and not found.get("lost"))
            else float(len(found.get("lost", ())))
        )
        worst = (
            float(len(found.get("lost", ())) + len(found.get("unread", ())))
            if acked and unsure
            else None
        )
        figures = [
            Figure("lost_writes", lost, "", 0.0, worst, note),
            Figure("acknowledged_writes", float(acked)),
        ]
        good = [
            f"{acked} acknowledged writes are all there"
            + ("" if listed else " (each key read on its own; no list)")
        ]
        return verdict(self.name, bad, unsure, good, figures)


def _keys(read: Event) -> set[str]:
    return {str(each) for each in read.get("value")}


def _shown(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(sorted(keys)[:SHOWN]) + more


CHECKER = _LostWrites()
