"""Checker `linearizable`: whether the reads and writes of each key fit one order.

In that order they happen one at a time, each at a moment between its question and its answer. The
search is Wing and Gong's, with Lowe's memory of states that led nowhere. It is bounded: a key that
needs more steps is unknown.

A write without an answer took effect at some time after it began, or never; a refused one never
did. A read without an answer says nothing. A create is a write that requires that nothing was there
before. Lists are left out: lost_writes looks at them.
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
a few steps for each operation."""
FEWEST = 10
"""With fewer answered reads and writes than this in all, nothing is said."""
NOTHING = "null"
"""The state of a key that is not there: a read's value is null."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on a key."""

    op: str
    """read, write or create."""
    value: str
    """What was read or written, as canonical JSON."""
    begin: float
    """When it was asked, seconds since the run began."""
    end: float
    """When it was answered; infinite: never, and it may not have taken effect."""

    @property
    def sure(self) -> bool:
        """Whether it was answered, and so took effect."""
        return self.end < math.inf

    def step(self, state: str) -> str | None:
        """Return the key's state after it; None if it cannot happen in this state."""
        if self.op == "read":
            return state if state == self.value else None
        if self.op == "create" and state != NOTHING:
            return None
        return self.value


class _Node:
    """A call or a return in a doubly linked list.

    An operation is lifted out of the list when it is placed in the order, and put back when that
    order leads nowhere.
    """

    __slots__ = ("after", "before", "number", "partner")

    def __init__(self, number: int) -> None:
        self.number = number
        self.before: _Node = self
        self.after: _Node | None = None
        self.partner: _Node | None = None
        """A call's return; None for a return, and for a call that has none."""

    def lift(self) -> None:
        """Take a call out of the list, together with its return."""
        for node in (self, self.partner):
            if node is not None:
                node.before.after = node.after
                if node.after is not None:
                    node.after.before = node.before

    def unlift(self) -> None:
        """Put a call and its return back where they were, in the reverse order of lifting."""
        for node in (self.partner, self):
            if node is not None:
                node.before.after = node
                if node.after is not None:
                    node.after.before = node


def _linked(operations: Sequence[Operation]) -> _Node:
    """Return the head of the list of calls and returns, by time.

    Of equal times calls come first, so that the operations overlap.
    """
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
    """Return the operations without unanswered writes whose value nobody read.

    Any order that is possible with these is possible without them.
    """
    rows = list(operations)
    read = {operation.value for operation in rows if operation.op == "read"}
    return [operation for operation in rows if operation.sure or operation.value in read]


def search(operations: Sequence[Operation], steps: int = STEPS) -> bool | None:
    """Whether one key, empty at first, could have given these answers.

    None if that is not known after so many steps.
    """
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
        elif stack:  # an answer comes before its operation was placed: the last one was misplaced
            node, state = stack.pop()
            placed &= ~(1 << node.number)
            node.unlift()
            node = node.after
        else:
            return False
    return True


def _nodes(head: _Node) -> list[_Node]:
    nodes = []
    node = head.after
    while node is not None:
        nodes.append(node)
        node = node.after
    return nodes


def operation(event: Event) -> Operation | None:
    """Return the operation of an `op` event; None if it says nothing about its key."""
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
    summary = (
        "Every read gave the newest value: reads and writes of each key fit one order that "
        "respects real time."
    )

    def check(self, history: History) -> Verdict:
        keys: dict[str, list[Operation]] = defaultdict(list)
        for event in history.of("op"):
            relevant = operation(event)
            if relevant:
                keys[str(event.get("key"))].append(relevant)
        answered = sum(each.sure for rows in keys.values() for each in rows)
        reads = sum(each.op == "read" for rows in keys.values() for each in rows)
        bad, unsure = [], []
        for key, rows in sorted(keys.items()):
            fits = search(rows)
            if fits is False:
                bad.append(
                    f"{key}: no order of its {len(rows)} operations explains what was "
                    f"read{_where(rows)}"
                )
            elif fits is None:
                unsure.append(
                    f"{key}: {len(rows)} operations need more than {STEPS} steps to judge"
                )
        if answered < FEWEST or not reads:
            unsure.append(
                f"{answered} answered operations with {reads} reads are too few "
                f"(at least {FEWEST}, and a read)"
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
    """Return the first answer that cannot be explained, as text.

    It ends the shortest beginning of the key's history that does not fit.
    """
    answers = sorted(row.end for row in rows if row.sure)
    low, high = 0, len(answers) - 1
    while low < high:
        middle = (low + high) // 2
        if search(_until(rows, answers[middle])) is False:
            high = middle
        else:
            low = middle + 1
    first = next(row for row in rows if row.end == answers[low])
    return (
        f"; the first that does not fit: {first.op} {first.value} at {first.begin:.3f} to "
        f"{first.end:.3f} s"
    )


def _until(rows: Sequence[Operation], moment: float) -> list[Operation]:
    """Return what was known at a moment: an operation that was answered later is open."""
    known = (row for row in rows if row.begin <= moment)
    opened = (
        row if row.end <= moment else Operation(row.op, row.value, row.begin, math.inf)
        for row in known
    )
    return [row for row in opened if row.sure or row.op != "read"]


CHECKER = _Linearizable()
