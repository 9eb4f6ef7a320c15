"""The reducer: what a run's history shows is what its report says, whenever it is looked at."""

from __future__ import annotations

import histories
import pytest
from histories import FIRE, VIP_BACK
from watched import SHAPE, at, fed, good_until, machine, nodes

from lab.analysis.history.events import Event
from lab.analysis.history.outages import measure
from lab.base import paths
from lab.measure.journal_events import Entry, milestone
from lab.topology import loader
from lab.watch import screen
from lab.watch.lab_shape import LabShape, shape_of, shape_of_run
from lab.watch.reducer import Reducer
from lab.watch.screen import ScreenSize
from lab.watch.state import FAILED, OK, SLOW, UNSAMPLED, WatchState


def strip(state: WatchState, name: str) -> str:
    return next(each.cells for each in state.strips if each.name == name)


def test_longest_outages_are_those_of_the_report() -> None:
    history = histories.good()
    state = at(histories.LENGTH)
    report = measure(history)
    for row in state.strips:
        own = [out.longest for name, out in report.items() if name.startswith(row.name)]
        assert row.longest == pytest.approx(max(own)), row.name
    assert {row.name for row in state.strips} == {"api.vip", "api.lb", "write.vip"}


def test_running_outage_grows_until_answers_last() -> None:
    for until in (10.8, 11.2):
        state = at(until)
        running = {row.name: row.outage for row in state.strips}
        assert running["api.vip"] == pytest.approx(until - FIRE, abs=0.05)
        assert running["api.lb"] is None or until < 10.5 + 0.4
    assert at(14.0).outage == ""


def test_one_good_answer_between_bad_ones_ends_no_outage() -> None:
    rows = [histories.sample("api.vip.new", 1 + n / 50, n not in range(5, 40)) for n in range(60)]
    rows[20] = histories.sample("api.vip.new", rows[20].t, ok=True)
    reducer = fed(histories.instrument("api.vip.new"), *rows[:25])
    assert reducer.view().strips[0].outage is not None
    for row in rows[25:]:
        reducer.feed(row)
    assert reducer.view().strips[0].outage is None


def test_cell_is_the_worst_sample_in_it() -> None:
    late = histories.sample("api.vip.new", 10.1, ok=True, took=0.4)
    lost = histories.sample("api.vip.new", 10.6, ok=False)
    good = [histories.sample("api.vip.new", 10 + n / 50, ok=True) for n in range(100)]
    unasked = histories.sample("api.vip.new", 9.6, ok=None)
    reducer = fed(histories.instrument("api.vip.new"), unasked, *good, late, lost)
    state = reducer.view(11.9, cells=5, cell_s=0.5)
    assert strip(state, "api.vip") == UNSAMPLED + SLOW + FAILED + OK + OK
    assert state.begin == 9.5
    assert strip(reducer.view(11.9, cells=2, cell_s=1.25), "api.vip")[0] == FAILED


def test_a_crash_stands_on_the_tape_in_its_order() -> None:
    kinds = [entry.what for entry in at(29.0).tape]
    wanted = ["fault", "outage", "vip", "membership", "fenced", "vip-start", "answer", "node"]
    places = [kinds.index(kind) for kind in wanted]
    assert places == sorted(places)
    assert kinds[-1] == "node"
    assert kinds.count("fenced") == 1


def test_what_two_masters_log_stands_on_the_tape_once() -> None:
    def log(node: str, t: float, target: str) -> Event:
        text = f"Peer {target} was terminated (off) by m2 on behalf of x: OK"
        return Event(t, "log", {"node": node, "what": "fenced", "text": text})

    both = fed(log("m2", 5.0, "m"), log("m3", 5.2, "m"), log("m3", 5.3, "m3"))
    assert [entry.text for entry in both.tape] == ["fenced: m", "fenced: m3"]


def test_late_lines_are_put_where_they_belong() -> None:
    reducer = fed(
        Event(5.0, "fault", {"action": "fire", "id": "a", "fault": "crash", "node": "m"}),
        machine("m", "running", 4.0),
        machine("m", "exited", 6.0),
        Event(5.5, "log", {"node": "m2", "what": "token-lost", "text": "x"}),
    )
    assert [entry.what for entry in reducer.tape] == ["fault", "token-lost", "machine"]


@pytest.mark.parametrize(
    ("until", "holders", "since"),
    [(9.0, ("m",), 0.0), (11.0, (), FIRE), (15.0, ("m2",), 11.4)],
)
def test_vip_has_no_one_or_two_holders(until: float, holders: tuple[str], since: float) -> None:
    vip = at(until).vip
    assert vip.holders == holders
    assert vip.since == pytest.approx(since, abs=0.1)


def test_two_holders_are_told_by_one_sample_and_nobody_by_two() -> None:
    def arp(t: float, *names: str) -> Event:
        return histories.sample("vip.arp", t, ok=bool(names), value=list(names))

    reducer = fed(arp(1, "m"), arp(2))
    assert reducer.view(2).vip.holders == ("m",)
    reducer.feed(arp(3))
    assert reducer.view(3).vip.holders == ()
    reducer.feed(arp(4, "m2", "m"))
    state = reducer.view(4)
    assert state.vip.holders == ("m", "m2")
    assert state.vip.before == ("m",)
    assert (state.health, "both answer" in state.why) == ("degraded", True)
    assert "TWO HOLDERS" in state.tape[-1].text
    assert reducer.view(60).vip.holders is None


def test_etcd_tells_leader_term_and_quorum() -> None:
    before, between, after = at(9.0).etcd, at(10.6).etcd, at(15.0).etcd
    assert (before.leader, before.term, before.answering, before.quorum) == ("m", 2, 3, True)
    assert (between.leader, between.answering, between.quorum) == ("", 2, False)
    assert (after.leader, after.term, after.answering, after.quorum) == ("m3", 3, 2, True)
    assert [row.state for row in after.rows] == ["no answer", "follower", "leader"]
    assert Reducer(SHAPE).view(1).etcd.quorum is None


def test_partitions_follow_journals_and_answers() -> None:
    steady = at(9.0).corosync
    assert steady.partitions == (("m", "m2", "m3"),) == steady.quorate

    def formed(node: str, left: str, t: float) -> Event:
        text = f"[TOTEM ] A new membership (1.2) was formed. Members left: {left}"
        return Event(t, "log", {"node": node, "what": "membership", "text": text})

    def says(node: str, *names: str) -> Event:
        return Event(1.0, "cluster", {"node": node, "members": list(names)})

    whole = ("m", "m2", "m3")
    reducer = fed(*(says(node, *whole) for node in whole))
    for event in (formed("m", "2 3", 2.0), formed("m2", "1", 2.1), formed("m3", "1", 2.2)):
        reducer.feed(event)
    split = reducer.view(3).corosync
    assert split.partitions == (("m",), ("m2", "m3"))
    assert split.quorate == (("m2", "m3"),)
    assert split.since == 2.2
    reducer.feed(machine("m", "exited"))
    assert reducer.view(3).corosync.partitions == (("m2", "m3"),)
    reducer.feed(Event(4.0, "cluster", {"node": "m2", "ok": False}))
    reducer.feed(Event(4.0, "cluster", {"node": "m3", "ok": False}))
    assert reducer.view(4).corosync.partitions == ()


def test_fencing_is_under_way_until_its_result() -> None:
    asked = Event(
        2.0,
        "log",
        {"node": "m3", "what": "fencing", "text": "Requesting fencing (off) targeting node m"},
    )
    reducer = fed(asked)
    assert reducer.view(2.5).corosync.fencing == ("m",)
    text = "notice: Operation 'off' targeting m by m3 for pacemaker-controld.2@m3: OK (Done)"
    reducer.feed(Event(3.0, "log", {"node": "m2", "what": "fenced", "text": text}))
    corosync = reducer.view(3.5).corosync
    assert corosync.fencing == ()
    assert (corosync.last_fenced, corosync.last_fenced_at, corosync.last_result) == ("m", 3.0, "OK")


def fencing(t: float, what: str, text: str) -> Event:
    return Event(t, "log", {"node": "m3", "what": what, "text": text})


def test_fencing_is_not_under_way_for_ever() -> None:
    asked = fencing(2.0, "fencing", "notice: Requesting fencing (reboot) of node m")
    assert fed(asked).view(30.0).corosync.fencing == ("m",)
    assert fed(asked).view(200.0).corosync.fencing == ()
    # A result that is heard before its request, and a victim that is back.
    text = (
        "notice: Peer m was terminated (off) by m2 on behalf of pacemaker-controld.7@m2: OK | x=1"
    )
    early = fed(fencing(3.0, "fenced", text), asked).view(3.5).corosync
    assert (early.fencing, early.last_result) == ((), "OK")
    back = fed(Event(1.0, "cluster", {"node": "m2", "members": ["m2"]}), asked)
    back.feed(Event(9.0, "cluster", {"node": "m2", "members": ["m", "m2"]}))
    assert back.view(9.5).corosync.fencing == ()


def test_histories_have_lines_that_journals_have() -> None:
    for event in histories.good().events:
        if event.kind == "log":
            entry = Entry(event.t, event.get("node"), event.get("unit"), "", event.get("text"))
            assert milestone(entry) == event.get("what")


def test_a_dead_node_says_ready_until_kubernetes_notices() -> None:
    reducer = fed(
        machine("w1", "running", 0.5), nodes(1, w1="Ready"), machine("w1", "exited", 10.0)
    )
    reducer.feed(nodes(14, w1="Ready"))
    dead = next(node for node in reducer.view(15).nodes if node.name == "w1")
    assert dead.word == "says Ready but is off"
    assert (dead.not_ready_in, dead.pods_move_in) == (15.0, 45.0)
    reducer.feed(nodes(29, w1="NotReady"))
    lost = next(node for node in reducer.view(39).nodes if node.name == "w1")
    assert (lost.word, lost.not_ready_in, lost.pods_move_in) == ("NotReady, off", None, 20.0)
    assert next(node for node in reducer.view(99).nodes if node.name == "w1").pods_move_in is None
    reducer.feed(machine("w1", "paused", 100))
    reducer.feed(nodes(101, w1="Ready"))
    frozen = next(node for node in reducer.view(102).nodes if node.name == "w1")
    assert frozen.word == "says Ready but is frozen"
    assert not frozen.good


def test_what_kubernetes_said_long_ago_counts_no_more() -> None:
    reducer = fed(machine("w1", "running", 0.5), nodes(1, w1="Ready"))
    old = next(node for node in reducer.view(20).nodes if node.name == "w1")
    assert (old.kubernetes, old.word, old.good) == ("", "running", True)


def test_nobody_is_healthy_of_whom_nothing_is_known() -> None:
    started = fed(*(machine(name, "running") for name, _ in SHAPE.machines))
    state = started.view(2)
    assert (state.health, state.why) == ("unknown", "nobody asks the API now")
    for row in api(2.0, ok=True):
        started.feed(row)
    assert started.view(2.5).health == "healthy"
    assert (started.view(30).health, started.view(30).outage) == ("unknown", "")


def api(begin: float, *, ok: bool) -> list[Event]:
    return [histories.sample("api.vip.new", begin + n / 50, ok=ok) for n in range(20)]


def test_an_outage_lasts_no_longer_than_somebody_samples() -> None:
    reducer = fed(histories.instrument("api.vip.new"), *api(1.0, ok=True), *api(1.4, ok=False))
    running = reducer.view(2.0).strips[0].outage
    assert running == pytest.approx(0.6, abs=0.1)
    state = reducer.view(60.0)
    assert state.strips[0].outage is None
    assert state.strips[0].longest == pytest.approx(0.4, abs=0.1)
    assert (state.outage, state.health) == ("", "unknown")
    outages = next(line.text for line in screen.lines(state, ScreenSize()) if "outage" in line.text)
    assert "unknown: nobody samples" in outages


def test_a_fault_that_is_on_again_is_told_again() -> None:
    def fault(t: float, action: str) -> Event:
        return Event(t, "fault", {"action": action, "id": "a", "fault": "hang", "node": "m"})

    reducer = fed(fault(1.0, "fire"), fault(1.5, "fire"), fault(2.0, "healed"), fault(3.0, "fire"))
    assert [(each.begin, each.end) for each in reducer.view(4.0).faults] == [
        (1.0, 2.0),
        (3.0, None),
    ]
    assert [entry.what for entry in reducer.tape] == ["fault", "healed", "fault"]


def test_probes_of_a_dead_node_count_no_outage() -> None:
    inside = "service.node.w1"
    good = [histories.sample(inside, 1 + n / 50, ok=True) for n in range(50)]
    reducer = fed(histories.instrument(inside), *good, histories.sample(inside, 2.1, ok=False))
    assert reducer.view(2.7).strips[0].outage is not None
    reducer.feed(machine("w1", "exited", 2.8))
    row = reducer.view(30).strips[0]
    assert (row.outage, row.longest) == (None, 0.0)
    assert [entry.what for entry in reducer.tape] == []


def test_pods_of_nodes_in_trouble_are_shown() -> None:
    def pod(name: str, node: str, state: str = "Ready") -> dict[str, str]:
        return {"name": name, "namespace": "default", "node": node, "state": state}

    pods = [pod("a", "w1"), pod("b", "m"), pod("c", "m", "Pending")]
    reducer = fed(nodes(1, w1="Ready", m="Ready"), Event(2, "pods", {"pods": pods}))
    assert [each.name for each in reducer.view(2).pods] == ["c"]
    reducer.feed(machine("w1", "exited", 3))
    assert [each.name for each in reducer.view(3).pods] == ["a", "c"]
    assert reducer.view(3).problems == ()
    old = reducer.view(60)
    assert (old.pods, old.problems) == ((), ("pods: nobody lists them now",))


def test_health_is_one_word_with_its_reason() -> None:
    assert Reducer(SHAPE).view(1).health == "unknown"
    assert (at(9.0).health, at(9.0).why) == ("healthy", "all is well")
    assert at(11.0).health == "degraded"
    stopped = fed(*(machine(name, "exited") for name, _ in SHAPE.machines)).view(2)
    assert stopped.health == "stopped"
    lost = [
        histories.sample(f"api.{way}.new", 1 + n / 50, ok=False)
        for n in range(10)
        for way in ("vip", "lb")
    ]
    assert fed(*lost).view(2).health == "down"
    assert fed(*lost, *(machine(name, "exited") for name, _ in SHAPE.machines)).view(2).health == (
        "stopped"
    )


def test_faults_shade_the_window_from_their_fire_to_their_healing() -> None:
    span = at(15.0).faults
    assert [(each.fault, each.node, each.begin, each.end) for each in span] == [
        ("crash", "m", FIRE, None)
    ]
    assert at(25.0).faults[0].end == 22.0
    assert good_until(29.0).view(29.0, cells=10, cell_s=0.5).faults == ()


def test_problems_come_and_go() -> None:
    problem = Event(1, "problem", {"what": "engine", "text": "no answer"})
    reducer = fed(problem)
    assert reducer.view(1).problems == ("engine: no answer",)
    reducer.feed(Event(2, "problem", {"what": "engine", "text": ""}))
    assert reducer.view(2).problems == ()


def test_replay_takes_the_lab_from_the_run_and_machines_from_proofs() -> None:
    topology = loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
    shape = shape_of(topology)
    assert shape.masters == ("m", "m2", "m3")
    assert shape.grace_s == topology.kubernetes.node_monitor_grace_ms / 1000
    assert shape_of_run({"lab": "x", "topology": {}}) == LabShape("x")
    proof = Event(
        10.2, "fault", {"action": "proof", "id": "f", "node": "m", "detail": "m is exited"}
    )
    state = at(15.0, histories.plus(histories.good(), proof))
    assert state.nodes[0].word == "says Ready but is off"
    assert ("m2", "m3") in state.corosync.partitions


def test_state_is_plain_json_and_looking_changes_nothing() -> None:
    reducer = good_until(VIP_BACK)
    first = reducer.view(12.0).as_json()
    assert first == reducer.view(12.0).as_json()
    assert isinstance(first["strips"][0]["cells"], str)
    assert set(first["strips"][0]["cells"]) <= set("osfu")
