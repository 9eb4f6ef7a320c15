"""Each checker passes on a good history, and fails on one that was broken on purpose.

It is not sure where too little was seen.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import histories
import pytest
from histories import FIRE, HEAL, changed, plus, sample, without

from lab.analysis import checkers, report, verdicts
from lab.analysis.checkers import failover
from lab.analysis.history import failover_phases, vip_holders
from lab.analysis.history.events import Event, History, history, parse

if TYPE_CHECKING:
    from collections.abc import Callable

Mutation = "Callable[[History], History]"


@pytest.fixture(scope="module")
def good() -> History:
    return histories.good()


def check(name: str, run: History) -> verdicts.Verdict:
    return checkers.find(name).check(run)


def probe(event: Event, name: str, begin: float = 0.0, end: float = 99.0) -> bool:
    return event.kind == "probe" and event.get("probe") == name and begin <= event.t < end


def op(event: Event, **values: Any) -> bool:
    return event.kind == "op" and all(event.get(key) == value for key, value in values.items())


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


def test_an_instrument_that_died_is_not_steady_but_unknown(good: History) -> None:
    short = without(good, lambda event: probe(event, "api.lb.new", 25.0))
    assert check("steady", short).outcome == "unknown"
    assert check("outage", short).outcome == "unknown"


def dead(run: History, since: float, *ends: Event) -> History:
    """A history whose instrument said nothing any more from then on; steps and faults went on."""
    kept = without(run, lambda event: event.kind in {"probe", "op", "watch"} and event.t >= since)
    return plus(kept, Event(0.0, "agent", {"state": "begin"}), *ends)


def end(code: int | None, *, told: bool) -> Event:
    return Event(29.9, "agent", {"state": "end", "code": code, "told": told})


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


def test_two_holders_are_two_holders_whatever_became_of_the_instrument(good: History) -> None:
    def doubled(event: Event) -> dict[str, Any] | None:
        return {"value": ["m", "m2"]} if probe(event, "vip.arp", 5, 6) else None

    both = changed(dead(good, FIRE, end(137, told=False)), doubled)
    rows = report.judge(both, ["vip_unique", "not vip_unique", "vip_overlap == 0"])
    assert [row.outcome for row in rows] == ["fail", "pass", "fail"]


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


def test_a_watch_that_lost_its_place_is_unknown_and_fails_where_something_was_missed(
    good: History,
) -> None:
    lost = plus(good, Event(11.61, "watch", {"rv": "290", "key": "", "type": "LOST"}))
    assert check("watch", lost).outcome == "unknown"
    assert (
        check(
            "watch",
            without(lost, lambda event: event.kind == "watch" and event.get("key") == "k050"),
        ).outcome
        == "fail"
    )


def test_bookmarks_and_the_end_of_a_watch_are_no_gaps(good: History) -> None:
    newest = max(int(event.get("rv")) for event in good.of("watch") if event.t < 15)
    marks = (
        Event(14.995, "watch", {"rv": str(newest), "key": "", "type": "BOOKMARK"}),
        Event(15.0, "watch", {"rv": "", "key": "", "type": "END"}),
    )
    closed = without(good, lambda event: event.kind == "watch" and event.t > 15)
    assert check("watch", closed).outcome == "fail"
    assert check("watch", plus(closed, *marks)).outcome == "pass"


def test_two_leaders_in_different_terms_are_legal(good: History) -> None:
    deposed = {"value": {"leader": True, "term": 2, "member": "id-m"}, "ok": True}
    verdict = check(
        "one_leader",
        changed(good, lambda event: deposed if probe(event, "etcd.m", 10.0, 11.5) else None),
    )
    assert verdict.outcome == "pass"
    assert next(figure.value for figure in verdict.figures if figure.name == "leader_changes") == 1


def test_one_double_answer_is_an_overlap_of_an_interval(good: History) -> None:
    verdict = check(
        "vip_unique",
        changed(
            good,
            lambda event: {"value": ["m", "m2"]} if probe(event, "vip.arp", 11.4, 11.41) else None,
        ),
    )
    assert verdict.outcome == "fail"
    assert verdict.figures[0].value == pytest.approx(0.02)
    assert len(vip_holders.overlaps(good)) == 0


def test_failover_in_phases(good: History) -> None:
    (group,) = failover_phases.fault_groups(good)
    assert (group.t, group.faults, group.nodes, group.healed) == (FIRE, ("crash",), ("m",), HEAL)
    phases = {phase.name: phase for phase in group.phases}
    expected = {
        "membership": 0.5,
        "fenced": 0.8,
        "vip_start": 1.3,
        "vip_up": 1.4,
        "vip": 1.5,
        "write": 1.6,
        "leader": 0.9,
    }
    expected |= {"not_ready": 8.0, "endpoint": 8.2, "pods": 9.1}
    assert {name: phase.seconds for name, phase in phases.items()} == pytest.approx(
        expected, abs=0.01
    )
    assert group.missing == ("token_lost",)
    assert phases["leader"].detail == "m3, term 3"
    assert phases["vip_up"].detail == "m2"
    assert phases["pods"].detail == "1 pod replaced: c"
    assert phases["vip"].resolution == histories.INTERVAL
    assert failover.figure(good, "api.vip").value == pytest.approx(2.003, abs=1e-6)
    assert failover.figure(good, "dns").value is None


def test_what_follows_the_healing_is_no_failover(good: History) -> None:
    back = changed(good, lambda event: {"value": ["m"]} if probe(event, "vip.arp", 21.0) else None)
    calm = without(
        back,
        lambda event: (
            event.kind == "log"
            or (event.kind == "probe" and event.t < HEAL and event.get("probe") != "vip.arp")
        ),
    )
    steady = changed(
        calm, lambda event: {"value": ["m2"]} if probe(event, "vip.arp", 0, 21.0) else None
    )
    (group,) = failover_phases.fault_groups(steady)
    assert "vip_up" in group.missing


def test_faults_that_fire_together_are_one_blow(good: History) -> None:
    def fire(t: float, node: str) -> Event:
        return Event(
            t,
            "fault",
            {
                "action": "fire",
                "id": node,
                "fault": "hang",
                "node": node,
                "word": "minority",
                "detail": "",
            },
        )

    rows = failover_phases.fault_groups(plus(good, fire(FIRE + 0.1, "m2"), fire(15.0, "w1")))
    assert [(group.faults, group.nodes) for group in rows] == [
        (("crash", "hang"), ("m", "m2")),
        (("hang",), ("w1",)),
    ]
    assert rows[0].until == 15.0


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


def test_the_worst_of_verdicts() -> None:
    def made(outcome: verdicts.Outcome) -> verdicts.Verdict:
        return verdicts.Verdict("x", outcome)

    assert verdicts.worst([made("pass"), made("unknown"), made("fail")]) == "fail"
    assert verdicts.worst([made("pass"), made("unknown")]) == "unknown"
    assert verdicts.worst([made("pass")]) == "pass"
    assert verdicts.worst([]) == "unknown"
    assert verdicts.EXIT_CODES == {"pass": 0, "fail": 4, "unknown": 5}
    with pytest.raises(KeyError):
        checkers.find("vip")


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
