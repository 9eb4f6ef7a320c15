"""Writes to services of the user's own: judged as the API's own are, and apart from them."""

from __future__ import annotations

from typing import Any

from lab.analysis.checkers import lost_writes
from lab.analysis.history.events import Event, History, history
from lab.analysis.judge import judge


def operation(
    t: float, op: str, kind: str = "user_op", client: str = "orders", **more: Any
) -> Event:
    return Event(t, kind, {"client": client, "op": op, "end": t + 0.1, "outcome": "ok", **more})


def created(key: str, t: float = 1.0, **more: Any) -> Event:
    return operation(t, "create", **{"key": key, "value": key, **more})


def read(key: str, value: str | None) -> Event:
    return operation(9.0, "read", key=key, value=value)


def run(*events: Event) -> History:
    return history(events)


def outcomes(found: History, *texts: str) -> list[tuple[str, str]]:
    return [(row.outcome, " ".join(row.reasons)) for row in judge(found, texts)]


LOST = (created("k1"), created("k2"), read("k1", "k1"), read("k2", None))


def test_a_lost_key_is_counted_for_its_service_alone() -> None:
    api = (
        operation(1.0, "create", kind="op", client="c", key="a", value="v"),
        operation(9.0, "list", kind="op", client="final", value={"a": "v"}),
    )
    found = run(*LOST, *api)
    (own, users) = outcomes(found, "lost_writes == 0", "lost_writes(orders) == 0")
    assert own[0] == "pass"
    assert "k2" not in own[1]
    assert users[0] == "fail"
    assert "1 acknowledged and not there at the end: k2" in users[1]
    whole = lost_writes.CHECKER.check(found)
    assert whole.outcome == "fail"
    assert {figure.name: figure.value for figure in whole.figures} == {
        "lost_writes": 0.0,
        "acknowledged_writes": 1.0,
        "lost_writes(orders)": 1.0,
        "acknowledged_writes(orders)": 2.0,
    }


def test_a_list_of_keys_will_do_and_an_open_write_may_be_anywhere() -> None:
    found = run(
        created("k1"),
        created("k2", outcome="unknown"),
        operation(9.0, "list", value=["k1"]),
    )
    assert outcomes(found, "lost_writes(orders) == 0")[0][0] == "pass"


def test_what_was_not_read_or_not_written_is_unknown() -> None:
    unread = run(created("k1"), operation(9.0, "read", key="k1", outcome="unknown"))
    assert outcomes(unread, "lost_writes(orders) == 0")[0][0] == "unknown"
    refused = run(created("k1", outcome="fail"))
    assert outcomes(refused, "lost_writes(orders) == 0")[0][0] == "unknown"


def test_a_name_that_nothing_was_written_to_is_told() -> None:
    ((outcome, why),) = outcomes(run(*LOST), "lost_writes(order) == 0")
    assert outcome == "unknown"
    assert "this run wrote to orders" in why


def test_a_run_without_writes_of_the_apis_own_is_judged_by_the_users() -> None:
    assert [figure.name for figure in lost_writes.CHECKER.check(run(*LOST)).figures] == [
        "lost_writes(orders)",
        "acknowledged_writes(orders)",
    ]
