"""The search against a reference that tries every order, on small histories.

And against histories that are known to be wrong or right.
"""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from lab.analysis.checkers.linearizable import NOTHING, Operation, search


def brute(operations: list[Operation]) -> bool:
    """Try every choice of unanswered operations and every order that respects real time."""
    sure = [each for each in operations if each.sure]
    open_ = [each for each in operations if not each.sure]
    for count in range(len(open_) + 1):
        for chosen in itertools.combinations(open_, count):
            for order in itertools.permutations([*sure, *chosen]):
                if _in_time(order) and _explains(order):
                    return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    return all(
        not later.end < earlier.begin
        for index, earlier in enumerate(order)
        for later in order[index + 1 :]
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    state = NOTHING
    for each in order:
        if each.op == "read":
            if each.value != state:
                return False
        elif each.op == "create" and state != NOTHING:
            return False
        else:
            state = each.value
    return True


def operations() -> st.SearchStrategy[list[Operation]]:
    def made(op: str, value: str, begin: int, length: int, answered: bool) -> Operation:  # noqa: FBT001
        end = float(begin + length) if answered or op == "read" else math.inf
        return Operation(op, NOTHING if op == "read" and value == "0" else value, float(begin), end)

    kinds = st.sampled_from(["read", "read", "write", "create"])
    one = st.builds(
        made, kinds, st.sampled_from("0123"), st.integers(0, 8), st.integers(0, 5), st.booleans()
    )
    return st.lists(one, min_size=1, max_size=5)


@settings(max_examples=800, deadline=None)
@given(operations())
def test_the_search_agrees_with_trying_every_order(rows: list[Operation]) -> None:
    truth = brute(rows)
    event(f"linearizable: {truth}")
    assert search(rows) is truth


def w(value: str, begin: float, end: float = math.inf) -> Operation:
    return Operation("write", value, begin, end)


def r(value: str, begin: float, end: float) -> Operation:
    return Operation("read", value, begin, end)


BAD = {
    "stale read": [w("1", 0, 1), w("2", 2, 3), r("1", 4, 5)],
    "read of what nobody wrote": [w("1", 0, 1), r("9", 2, 3)],
    "read before the write": [r("1", 0, 1), w("1", 2, 3)],
    "lost update": [w("1", 0, 1), r(NOTHING, 2, 3)],
    "back and forth": [w("1", 0, 1), w("2", 2, 9), r("2", 3, 4), r("1", 5, 6)],
    "two readers disagree on the order": [
        w("1", 0, 9),
        w("2", 0, 9),
        r("1", 1, 2),
        r("2", 3, 4),
        r("1", 5, 6),
    ],
    "two creates": [Operation("create", "1", 0, 1), Operation("create", "2", 2, 3)],
    "an unanswered write is seen and unseen": [w("1", 0, 1), w("2", 2), r("2", 3, 4), r("1", 5, 6)],
}
GOOD = {
    "empty": [],
    "concurrent read sees either": [w("1", 0, 1), w("2", 2, 5), r("1", 3, 4), r("2", 6, 7)],
    "an unanswered write takes effect late": [w("1", 0, 1), w("2", 2), r("1", 3, 4), r("2", 5, 6)],
    "an unanswered write never takes effect": [
        w("1", 0, 1),
        w("2", 2),
        r("1", 3, 4),
        r("1", 50, 60),
    ],
    "touching times overlap": [w("1", 0, 1), r(NOTHING, 1, 2)],
}


@pytest.mark.parametrize("name", BAD)
def test_known_bad(name: str) -> None:
    assert search(BAD[name]) is False
    assert not brute(BAD[name])


@pytest.mark.parametrize("name", GOOD)
def test_known_good(name: str) -> None:
    assert search(GOOD[name]) is True


def test_a_long_history_of_one_key_is_judged() -> None:
    rows = [
        operation
        for number in range(1000)
        for operation in (
            w(str(number), number, number + 0.9),
            r(str(number), number + 0.5, number + 0.95),
        )
    ]
    assert search(rows) is True
    assert search([*rows, r("7", 2000, 2001)]) is False


def test_work_is_bounded() -> None:
    storm = (
        [w(str(number), 0, 100) for number in range(40)]
        + [r(str(number), 0, 100) for number in range(40)]
        + [r("x", 200, 201)]
    )
    assert search(storm, steps=20_000) is None
