"""Reads and writes of each key could have happened one at a time, each at a moment between its question and its answer.

The search is Wing and Gong's, with Lowe's memory of states that led nowhere. A write without an answer took effect at some time after it
began, or never; a refused one never did; a read without an answer says nothing. A create is a write that found nothing there before.
Lists are left out: lost_writes looks at them. The search is bounded; a key that needs more is unknown.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.analysis.history.events import Event, History

STEPS = 300_000
"""The bound for one key: about a second of search. Histories of one writer and a few readers need
some steps an operation."""
FEWEST = 10
"""With fewer answered reads and writes than this in all nothing is said."""
NOTHING = "null"
"""The state of a key that is not there: a read's value is null."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a register: read, write or create; its value as canonical JSON; `end` infinite: it may never have taken effect."""

    op: str
    value: str
    begin: float
    end: float

    @property
    def sure(self) -> bool:
        """It was answered, so it did take effect."""
        return self.end < math.inf

    def step(self, state: str) -> str | None:
        """Return the state after it; None: it cannot happen in this state."""
        if self.op == "read":
            return state if state == self.value else None
        if self.op == "create" and state != NOTHING:
            return None
        return self.value


class _Node:
    """A call or a return in a doubly linked list, from which operations are lifted as they are placed and to which they return."""

    __slots__ = ("after", "before", "number", "partner")

    def __init__(self, number: int) -> None:
        self.number = number
        self.before: _Node = self
        self.after: _Node | None = None
        self.partner: _Node | None = None
        """A call's return; None for a return, and for a call that has none."""

    def lift(self) -> None:
        """Take it out of the list, with its return."""
        for node in (self, self.partner):
            if node is not None:
                node.before.after = node.after
                if node.after is not None:
                    node.after.before = node.before

    def unlift(self) -> None:
        """Put it back where it was; in the opposite order of lifting."""
        for node in (self.partner, self):
            if node is not None:
                node.before.after = node
                if node.after is not None:
                    node.after.before = node


def _linked(operations: Sequence[Operation]) -> _Node:
    """Return the head of the list of calls and returns by time; of equal times calls come first, so that they overlap."""
    head = _Node(-1)
    times: list[tuple[float, int, int, _Node]] = []
    for number, operation in enumerate(operations):
        call = _Node(number)
        times.append((operation.begin, 0, number, call))
        if operation.sure:
            call.partner = _Node(number)
            times.append((operation.end, 1, number, call.partner))
    last = head
    for *_, node in sorted(times, key=lambda each: each[:3]):
        node.before, last.after = last, node
        last = node
    return head


def _relevant(operations: Iterable[Operation]) -> list[Operation]:
    """Leave out unanswered writes whose value nobody read: without them every order that was possible still is."""
    rows = list(operations)
    read = {operation.value for operation in rows if operation.op == "read"}
    return [operation for operation in rows if operation.sure or operation.value in read]


def search(operations: Sequence[Operation], steps: int = STEPS) -> bool | None:
    """Whether one register could have given these answers; None: not found out within so many steps. It begins with nothing in it."""
    rows = _relevant(operations)
    head = _linked(rows)
    is_return = {id(node.partner) for node in _nodes(head) if node.partner is not None}
    state, placed = NOTHING, 0
    tried = {(0, NOTHING)}
    stack: list[tuple[_Node, str]] = []
    node = head.after
    while node is not None:
        steps -= 1
        if steps < 0:
            return None
        if id(node) not in is_return:
            after = rows[node.number].step(state)
            following = (placed | 1 << node.number, after or "")
            if after is not None and following not in tried:
                tried.add(following)
                stack.append((node, state))
                placed, state = placed | 1 << node.number, after
                node.lift()
                node = head.after
            else:
                node = node.after
        elif stack:  # an answer came before its operation was placed: the last one placed was wrong
            node, state = stack.pop()
            placed &= ~(1 << node.number)
            node.unlift()
            node = node.after
        else:
            return False
    return True


def _nodes(head: _Node) -> list[_Node]:
    found = []
    node = head.after
    while node is not None:
        found.append(node)
        node = node.after
    return found


def operation(event: Event) -> Operation | None:
    """Read an operation of a history; None for one that says nothing about its key."""
    op, outcome = event.get("op"), event.get("outcome")
    if (
        op not in {"read", "write", "create"}
        or outcome == "fail"
        or (op == "read" and outcome != "ok")
    ):
        return None
    return Operation(
        str(op), _canonical(event.get("value")), event.t, event.end if outcome == "ok" else math.inf
    )


def _canonical(value: Any) -> str:  # noqa: ANN401 (any JSON value)
    return json.dumps(value, sort_keys=True, default=str)


class _Linearizable:
    name = "linearizable"
    summary = "Every read gave the newest value: reads and writes of each key fit one order that respects real time."

    def check(self, history: History) -> Verdict:
        keys: dict[str, list[Operation]] = defaultdict(list)
        for event in history.of("op"):
            found = operation(event)
            if found:
                keys[str(event.get("key"))].append(found)
        answered = sum(each.sure for rows in keys.values() for each in rows)
        reads = sum(each.op == "read" for rows in keys.values() for each in rows)
        bad, unsure = [], []
        for key, rows in sorted(keys.items()):
            fits = search(rows)
            if fits is False:
                bad.append(
                    f"{key}: no order of its {len(rows)} operations explains what was read{_where(rows)}"
                )
            elif fits is None:
                unsure.append(
                    f"{key}: {len(rows)} operations need more than {STEPS} steps to judge"
                )
        if answered < FEWEST or not reads:
            unsure.append(
                f"{answered} answered operations with {reads} reads are too few (at least {FEWEST}, and a read)"
            )
        figures = [Figure("operations", float(answered)), Figure("keys", float(len(keys)))]
        return verdict(
            self.name,
            bad,
            unsure,
            [f"{answered} operations on {len(keys)} keys fit one order each"],
            figures,
        )


def _where(rows: Sequence[Operation]) -> str:
    """Say which answer is the first that cannot be explained: the shortest beginning of the key's history that does not fit."""
    answers = sorted(row.end for row in rows if row.sure)
    low, high = 0, len(answers) - 1
    while low < high:
        middle = (low + high) // 2
        if search(_until(rows, answers[middle])) is False:
            high = middle
        else:
            low = middle + 1
    first = next(row for row in rows if row.end == answers[low])
    return f"; the first that does not fit: {first.op} {first.value} at {first.begin:.3f} to {first.end:.3f} s"


def _until(rows: Sequence[Operation], moment: float) -> list[Operation]:
    """Return what was known at a moment: what had not been answered by then is open."""
    known = (row for row in rows if row.begin <= moment)
    opened = (
        row if row.end <= moment else Operation(row.op, row.value, row.begin, math.inf)
        for row in known
    )
    return [row for row in opened if row.sure or row.op != "read"]


CHECKER = _Linearizable()
