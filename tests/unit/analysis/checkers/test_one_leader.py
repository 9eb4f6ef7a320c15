from __future__ import annotations

from typing import TYPE_CHECKING

from histories import changed
from judged import check, probe

if TYPE_CHECKING:
    from lab.analysis.history.events import History


def test_two_leaders_in_different_terms_are_legal(good: History) -> None:
    deposed = {"value": {"leader": True, "term": 2, "member": "id-m"}, "ok": True}
    verdict = check(
        "one_leader",
        changed(good, lambda event: deposed if probe(event, "etcd.m", 10.0, 11.5) else None),
    )
    assert verdict.outcome == "pass"
    assert next(figure.value for figure in verdict.figures if figure.name == "leader_changes") == 1


def test_a_status_read_in_the_middle_of_an_election_is_no_second_leader(good: History) -> None:
    """etcd reads leader and term one after the other: here the leader is new and the term old."""
    torn = {"value": {"leader": True, "term": 3, "member": "id-m2", "has_leader": True}}
    moment = next(event.t for event in good.samples("etcd.m2") if event.t > 15.0)
    assert (
        check(
            "one_leader",
            changed(
                good,
                lambda event: torn if probe(event, "etcd.m2", moment, moment + 0.001) else None,
            ),
        ).outcome
        == "pass"
    )
    twice = changed(
        good, lambda event: torn if probe(event, "etcd.m2", moment, moment + 0.3) else None
    )
    assert check("one_leader", twice).outcome == "fail"


def late_term(good: History, seconds: float) -> History:
    """Return a history in which the new leader tells the old one's term for so long."""
    led = [event for event in good.samples("etcd.m3") if event.get("value", {}).get("leader")]
    late = {"value": {**led[0].get("value"), "term": led[0].get("value")["term"] - 1}, "ok": True}
    begin = led[0].t
    return changed(
        good, lambda event: late if probe(event, "etcd.m3", begin, begin + seconds) else None
    )


def test_a_new_leader_that_tells_the_old_term_for_a_while_is_no_second_leader(
    good: History,
) -> None:
    """etcd tells the term of the last applied entry: on a slow disk the old one for 0.4 s."""
    before, after = check("one_leader", good), check("one_leader", late_term(good, 0.4))
    assert (after.outcome, after.figures) == ("pass", before.figures)


def test_a_leader_that_never_gets_to_a_term_of_its_own_is_a_second_one(good: History) -> None:
    assert check("one_leader", late_term(good, 1000)).outcome == "fail"
