from __future__ import annotations

import pytest

from lab.analysis.history.events import Event, history
from lab.analysis.history.leader_terms import claim, leader_terms_of


def says(t: float, node: str, term: object, *, leader: bool, ok: bool = True) -> Event:
    value = {"leader": leader, "term": term, "member": f"id-{node}"}
    return Event(t, "probe", {"probe": f"etcd.{node}", "ok": ok, "end": t + 0.1, "value": value})


def test_claim_is_the_term_and_the_member_that_leads() -> None:
    assert claim(says(1, "m", 7, leader=True)) == (7, "id-m")


@pytest.mark.parametrize(
    "sample",
    [
        says(1, "m", 7, leader=False),
        says(1, "m", 7, leader=True, ok=False),
        says(1, "m", "7", leader=True),
        Event(1, "probe", {"probe": "etcd.m", "ok": True, "value": None}),
    ],
)
def test_claim_is_none_when_nobody_says_that_it_leads(sample: Event) -> None:
    assert claim(sample) is None


def test_leader_terms_are_those_that_were_said_twice() -> None:
    samples = [says(t, "m", 7, leader=True) for t in (1, 2, 3)]
    samples += [says(4, "m", 7, leader=False), says(4.5, "m2", 9, leader=True)]
    samples += [says(t, "m2", 8, leader=True) for t in (5, 6)]
    terms = [(led.node, led.term, led.first, led.last) for led in leader_terms_of(history(samples))]
    assert terms == [("m", 7, 1.1, 3.1), ("m2", 8, 5.1, 6.1)]
