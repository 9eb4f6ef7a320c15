from __future__ import annotations

import pytest
from histories import changed, plus, without
from judged import check, op

from lab.analysis.history.events import Event, History


def test_no_final_read_leaves_writes_unknown(good: History) -> None:
    verdict = check("lost_writes", without(good, lambda event: op(event, op="list")))
    assert verdict.outcome == "unknown"
    assert "never read after that" in verdict.reasons[0]
    assert next(figure for figure in verdict.figures if figure.name == "lost_writes").value is None


def test_a_list_that_began_before_the_last_write_ended_is_no_final_read(good: History) -> None:
    late = Event(
        27.99,
        "op",
        {"client": "a", "op": "create", "key": "late", "value": 1, "end": 28.05, "outcome": "ok"},
    )
    assert check("lost_writes", plus(good, late)).outcome == "unknown"


@pytest.mark.parametrize("there", [True, False])
def test_an_unanswered_write_may_or_may_not_be_there(there: bool, good: History) -> None:  # noqa: FBT001
    final = next(event for event in good.events if op(event, op="list"))
    unknown = next(event for event in good.events if op(event, op="create", outcome="unknown"))
    value = {**final.get("value"), **({unknown.get("key"): unknown.get("value")} if there else {})}
    assert (
        check(
            "lost_writes", changed(good, lambda event: {"value": value} if event is final else None)
        ).outcome
        == "pass"
    )


def test_a_list_of_keys_without_values_will_do(good: History) -> None:
    open_write = changed(
        good, lambda event: {"value": sorted(event.get("value"))} if op(event, op="list") else None
    )
    assert check("lost_writes", open_write).outcome == "pass"
