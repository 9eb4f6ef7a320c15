"""Each checker passes on a good history, and fails on one that was broken on purpose.

It is not sure where too little was seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import histories
import pytest
from histories import FIRE, HEAL, changed, plus, sample, without
from judged import check, dead, end, op, probe

from lab.analysis import checkers, report
from lab.analysis.history.events import Event, History, history, parse

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", checkers.names())
def test_passes_on_a_good_history(name: str, good: History) -> None:
    verdict = check(name, good)
    assert verdict.outcome == "pass", verdict.reasons
    assert verdict.name == name
    assert verdict.reasons
    assert checkers.find(name).summary


@pytest.fixture(scope="module")
def reread(good: History) -> History:
    return history(parse(event.line() for event in good.events))


@pytest.mark.parametrize("name", checkers.names())
def test_a_history_from_a_file_gives_the_same_verdict(
    name: str, good: History, reread: History
) -> None:
    assert check(name, reread) == check(name, good)


@pytest.mark.parametrize("name", checkers.names())
def test_an_empty_history_proves_nothing(name: str) -> None:
    verdict = check(name, History(()))
    assert verdict.outcome == "unknown"
    assert verdict.reasons


@pytest.mark.parametrize("name", checkers.names())
def test_a_history_of_half_a_second_proves_nothing(name: str, good: History) -> None:
    begun = [event for event in good.events if event.t < 0.3]
    assert check(name, history(begun)).outcome == "unknown"


def _double_vip(run: History) -> History:
    return changed(
        run, lambda event: {"value": ["m", "m2"]} if probe(event, "vip.arp", 11.4, 11.5) else None
    )


def _two_leaders(run: History) -> History:
    late = {"value": {"leader": True, "term": 3, "member": "id-m"}}
    return changed(run, lambda event: late if probe(event, "etcd.m", 23.0, 23.3) else None)


def _lost_write(run: History) -> History:
    final = next(event for event in run.events if op(event, op="list"))
    less = {key: value for key, value in final.get("value").items() if key != "k050"}
    return changed(run, lambda event: {"value": less} if event is final else None)


def _overwritten(run: History) -> History:
    final = next(event for event in run.events if op(event, op="list"))
    return changed(
        run, lambda event: {"value": {**final.get("value"), "r": 40}} if event is final else None
    )


def _phantom(run: History) -> History:
    final = next(event for event in run.events if op(event, op="list"))
    return changed(
        run,
        lambda event: {"value": {**final.get("value"), "ghost": 1}} if event is final else None,
    )


def _refused(run: History) -> History:
    return changed(
        run, lambda event: {"outcome": "fail"} if op(event, op="create", key="k050") else None
    )


def _stale_read(run: History) -> History:
    reads = [event for event in run.events if op(event, op="read")]
    return changed(
        run, lambda event: {"value": reads[20].get("value")} if event is reads[30] else None
    )


def _unavailable(name: str) -> Callable[[History], History]:
    return lambda run: changed(
        run, lambda event: {"ok": False} if probe(event, name, FIRE) else None
    )


BROKEN = [
    ("outage", _unavailable("api.lb.new"), "api.lb.new was still out"),
    ("failover", _unavailable("api.vip.new"), "no lasting answer after crash on m"),
    (
        "vip_unique",
        _double_vip,
        "more than one node answered for the VIP from 11.38 s on for 100 ms (±20): m and m2",
    ),
    ("one_leader", _two_leaders, "in term 3, id-m and id-m3"),
    ("lost_writes", _lost_write, "1 acknowledged and not there at the end: k050"),
    ("lost_writes", _overwritten, "1 acknowledged and not there at the end: r"),
    ("lost_writes", _phantom, "1 there although nobody wrote it: ghost"),
    ("lost_writes", _refused, "1 refused by the API and there all the same: k050"),
    ("linearizable", _stale_read, "r: no order of its"),
    (
        "watch",
        lambda run: without(
            run, lambda event: event.kind == "watch" and event.get("key") == "k050"
        ),
        "creates never seen: k050",
    ),
    (
        "watch",
        lambda run: plus(run, Event(8.0, "watch", {"rv": "103", "key": "k001", "type": "ADDED"})),
        "went back from",
    ),
    (
        "watch",
        lambda run: plus(run, Event(29.0, "watch", {"rv": "9000", "key": "k001", "type": "ADDED"})),
        "seen more than once: k001",
    ),
    (
        "watch",
        lambda run: plus(run, *[Event(29.0, "watch", {"rv": "9000", "type": "MODIFIED"})] * 2),
        "repeated resource version 9000",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"ok": False} if probe(event, "api.lb.new", 29.9) else None
        ),
        "api.lb.new",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"value": {"m": "Unknown"}} if probe(event, "nodes", 29) else None
        ),
        "node m is Unknown",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"value": ["m", "m2"]} if probe(event, "vip.arp", 29.9) else None
        ),
        "more than one holder",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"value": []} if probe(event, "vip.arp", 29.8) else None
        ),
        "no holder",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"value": {}} if probe(event, "etcd.m3", 29) else None
        ),
        "etcd has no leader",
    ),
    (
        "steady",
        lambda run: changed(
            run, lambda event: {"ok": False} if probe(event, "etcd.m", 29) else None
        ),
        "member m does not answer",
    ),
]


@pytest.mark.parametrize(
    ("name", "mutate", "reason"), BROKEN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_fails_on_a_broken_history(
    name: str, mutate: Callable[[History], History], reason: str, good: History
) -> None:
    verdict = check(name, mutate(good))
    assert verdict.outcome == "fail"
    assert any(reason in text for text in verdict.reasons), verdict.reasons


def test_every_checker_has_a_history_that_breaks_it() -> None:
    assert {name for name, *_ in BROKEN} == set(checkers.names())


UNSURE = [
    ("outage", "api.vip.new", "the instrument did not sample"),
    ("failover", "api.vip.new", "the instrument did not sample"),
    ("vip_unique", "vip.arp", "the instrument did not sample"),
    ("one_leader", "etcd.m2", "the instrument did not sample"),
]


@pytest.mark.parametrize(("name", "stalled", "reason"), UNSURE)
@pytest.mark.parametrize("how", ["silent", "null"])
def test_a_stalled_instrument_makes_it_unknown(
    name: str, stalled: str, reason: str, how: str, good: History
) -> None:
    if how == "silent":
        bad = without(good, lambda event: probe(event, stalled, 3.0, 5.0))
    else:
        bad = changed(good, lambda event: {"ok": None} if probe(event, stalled, 3.0, 5.0) else None)
    verdict = check(name, bad)
    assert verdict.outcome == "unknown"
    assert any(reason in text for text in verdict.reasons), verdict.reasons


EXPECTED = [
    "outage(api.vip) <= 5s", "outages(api.vip) == 0", "unavailable(api) <= 5s", "vip_unique",
    "one_leader", "steady", "leader_changes <= 3", "vip_overlap == 0", "failover(vip) <= 5s",
    "failover(api.lb) <= 5s", "lost_writes == 0", "watch", "linearizable",
    "not linearizable", "not vip_unique", "outages(api.vip) >= 1", "leader_changes >= 1",
]  # fmt: skip


def test_samples_that_all_end_before_the_fault_prove_nothing(good: History) -> None:
    """Nobody says that the instrument died: the steps and faults after its last sample do."""
    short = without(good, lambda event: event.kind == "probe" and event.t >= FIRE - 1)
    affected = [
        text for text in EXPECTED if not text.startswith(("lost", "watch", "lin", "not lin"))
    ]
    rows = {row.name: row.outcome for row in report.judge(short, affected)}
    assert rows == dict.fromkeys(affected, "unknown")


DEATHS = [
    (),
    (end(137, told=False),),
    (end(0, told=False),),
    (end(None, told=False),),
    (end(2, told=True),),
]


@pytest.mark.parametrize("ends", DEATHS)
@pytest.mark.parametrize("since", [FIRE - 1, 99.0])
def test_an_instrument_that_died_proves_nothing(
    since: float, ends: tuple[Event, ...], good: History
) -> None:
    cut = dead(good, since, *ends)
    # What was seen before is true all the same: an outage is one, a change of leader, too.
    true = {
        "outages(api.vip) == 0": "fail",
        "outages(api.vip) >= 1": "pass",
        "leader_changes >= 1": "pass",
    }
    known = true if since > HEAL else {}
    rows = {row.name: row.outcome for row in report.judge(cut, EXPECTED)}
    assert rows == {**dict.fromkeys(EXPECTED, "unknown"), **known}
    assert {row.outcome for row in report.judge(cut, ())} == {"unknown"}


def test_an_instrument_that_ended_well_is_believed(good: History) -> None:
    cut = dead(good, 99.0, end(0, told=True))
    assert {row.outcome for row in report.judge(cut, ())} == {"pass"}


def test_an_instrument_that_never_sampled_is_told(good: History) -> None:
    mute = plus(good, histories.instrument("dns.pod.w1"))
    assert any(
        "dns.pod.w1: 0 samples are too few" in text for text in check("outage", mute).reasons
    )


def test_samples_without_an_instrument_have_no_resolution(good: History) -> None:
    torn = without(
        good, lambda event: event.kind == "instrument" and event.get("probe") == "vip.arp"
    )
    assert check("vip_unique", torn).outcome == "unknown"


def test_odd_values_raise_nothing() -> None:
    odd: list[Any] = [None, True, 1, "x", [], [None], {}, {"a": None}]
    rows = [
        histories.instrument(name)
        for name in ("vip.arp", "etcd.m", "nodes", "endpoints", "pods", "api.vip.new")
    ]
    rows += [
        sample(str(row.get("probe")), index * 0.02, ok=True, value=odd[index % len(odd)])
        for row in tuple(rows)
        for index in range(60)
    ]
    rows += [
        Event(0.3, "fault", {"action": "fire", "id": "x"}),
        Event(0.4, "log", {}),
        Event(0.4, "watch", {"rv": "x"}),
    ]
    rows += [
        Event(0.1, "op", {"op": name, "key": "k", "value": value, "outcome": "ok"})
        for name in ("read", "write", "list")
        for value in odd
    ]
    for name in checkers.names():
        assert json.dumps(check(name, history(rows)).reasons)
