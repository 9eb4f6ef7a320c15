"""Checker `lost_writes`: no acknowledged write is lost.

What the API acknowledged is there at the end; what it refused, or nobody wrote, is not. A write
without an answer may or may not be there.

The same is judged of the user's own services that keys were written to: see `of`.

The evidence for a key is the last good list or read that began after its last acknowledged write
had ended. If a value is there that an acknowledged write had overwritten, that write is lost.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lab.analysis.verdicts import Figure, Verdict, verdict, worst

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History

WRITES = frozenset({"create", "write"})
SHOWN = 5
"""At most so many keys are named in a reason."""
_ABSENT = object()


def _reads(op: Event) -> bool:
    """Whether an operation says what is there.

    A list without an answer in it does not prove that nothing is there.
    """
    answers = op.get("op") == "read" or (
        op.get("op") == "list" and isinstance(op.get("value"), dict | list)
    )
    return answers and op.get("outcome") == "ok"


def _value_of(read: Event, key: str) -> Any:  # noqa: ANN401 (any JSON value)
    """Return a key's value in a list or read.

    True if it is in a list without values, _ABSENT if it is not there.
    """
    value = read.get("value")
    if read.get("op") == "read":
        return _ABSENT if value is None else value
    if isinstance(value, dict):
        return value.get(key, _ABSENT)
    return True if key in _keys(read) else _ABSENT


def _evidence(reads: list[Event], key: str, after: float) -> Event | None:
    """Return the last list, or read of a key, that began after a time (seconds); None if none."""
    mine = (
        read
        for read in reads
        if read.t >= after and (read.get("op") == "list" or str(read.get("key")) == key)
    )
    return max(mine, key=lambda read: read.t, default=None)


def _judge(key: str, writes: list[Event], read: Event) -> str:
    """Return what is wrong with a key: lost, refused or phantom; empty if nothing is."""
    acked = [op for op in writes if op.get("outcome") == "ok"]
    value = _value_of(read, key)
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
    # The value is from an acknowledged write that was over before a later acknowledged one began:
    # the later one's value should be there.
    return "lost" if all(op.get("outcome") == "ok" and op.end < newest for op in same) else ""


API = ""
"""Whose writes are judged: the API's own. Others have the names of the user's services."""


def services(history: History) -> tuple[str, ...]:
    """Return the names of the user's services that keys were written to, sorted."""
    return tuple(sorted({str(event.get("client")) for event in history.of("user_op")}))


def of(history: History, service: str) -> Verdict:
    """Return the verdict on the writes to the API, or to one of the user's services."""
    if service == API:
        return _verdict("lost_writes", history.of("op"), "the API")
    ops = history.of("user_op", client=service)
    if not ops:
        known = ", ".join(services(history)) or "none"
        note = f"nothing was written to `{service}`; this run wrote to {known}"
        figure = Figure(f"lost_writes({service})", None, note=note)
        return verdict(f"lost_writes({service})", [], [note], figures=[figure])
    return _verdict(f"lost_writes({service})", ops, service)


class _LostWrites:
    name = "lost_writes"
    summary = (
        "Every acknowledged write is there at the end, and nothing that was refused or never "
        "written."
    )

    def check(self, history: History) -> Verdict:
        users = services(history)
        whose = (*((API,) if history.of("op") or not users else ()), *users)
        each = {service: of(history, service) for service in whose}
        return Verdict(
            self.name,
            worst(each.values()),
            tuple(
                f"{service}: {reason}" if service else reason
                for service, one in each.items()
                for reason in one.reasons
            ),
            tuple(figure for one in each.values() for figure in one.figures),
        )


def _verdict(name: str, ops: tuple[Event, ...], refuser: str) -> Verdict:
    """Return the verdict on these operations; `refuser` may have refused some."""
    writes: dict[str, list[Event]] = defaultdict(list)
    for op in ops:
        if op.get("op") in WRITES:
            writes[str(op.get("key"))].append(op)
    reads = [op for op in ops if _reads(op)]
    lists = [op for op in reads if op.get("op") == "list"]
    keys: dict[str, list[str]] = defaultdict(list)
    for key, mine in writes.items():
        acked = [op.end for op in mine if op.get("outcome") == "ok"]
        # An unacknowledged write may show up in any list; an acknowledged one has to be in one that
        # began after it.
        read = _evidence(reads if acked else lists, key, max(acked, default=0.0))
        if read:
            keys[_judge(key, mine, read)].append(key)
        elif acked:
            keys["unread"].append(key)
    keys["phantom"] += sorted({key for read in lists for key in _keys(read)} - set(writes))
    acked_count = sum(op.get("outcome") == "ok" for mine in writes.values() for op in mine)
    return _conclusion(name, keys, acked_count, listed=bool(lists), refuser=refuser)


def _conclusion(
    name: str, keys: dict[str, list[str]], acked: int, *, listed: bool, refuser: str
) -> Verdict:
    """Return the verdict from the keys by what is wrong with them: see `_judge`; or `unread`."""
    sentences = {
        "lost": "acknowledged and not there at the end",
        "refused": f"refused by {refuser} and there all the same",
        "phantom": "there although nobody wrote it",
    }
    bad = [
        f"{len(keys[wrong])} {text}: {_listed(keys[wrong])}"
        for wrong, text in sentences.items()
        if keys.get(wrong)
    ]
    unread = keys.get("unread", [])
    unsure = []
    if unread:
        unsure.append(f"{len(unread)} acknowledged and never read after that: {_listed(unread)}")
    if not acked:
        unsure.append("no write was acknowledged")
    note = "; ".join(unsure)
    lost = len(keys.get("lost", ()))
    known = acked and (lost or not unsure)
    most = float(lost + len(unread)) if acked and unsure else None
    figures = [
        Figure(name, float(lost) if known else None, "", 0.0, most, note),
        Figure(name.replace("lost", "acknowledged", 1), float(acked)),
    ]
    good = [
        f"{acked} acknowledged writes are all there"
        + ("" if listed else " (each key read on its own; no list)")
    ]
    return verdict(name, bad, unsure, good, figures)


def _keys(read: Event) -> set[str]:
    return {str(each) for each in read.get("value")}


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(sorted(keys)[:SHOWN]) + more


CHECKER = _LostWrites()
