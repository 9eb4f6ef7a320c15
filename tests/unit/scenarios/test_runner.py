"""Scenarios: halab's own are valid, errors have a line, a run heals whatever happens."""

from __future__ import annotations

import random
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab.analysis.history import run_folders
from lab.analysis.history.events import Event, history
from lab.base import paths
from lab.base.errors import FaultError, HealFailed, InputError, TopologyError
from lab.base.wait import Observation
from lab.measure.url_probe import ServiceNames
from lab.measure.user_probes import UserServices
from lab.scenarios import catalog, precheck, steps
from lab.scenarios.context import RunContext, StepFailed
from lab.scenarios.run import steps_verdict
from lab.scenarios.runner import ScenarioRunner
from lab.topology import expectation, loader, scenario_file
from lab.topology.scenario_file import Scenario, Step
from lab.topology.user_probes import UserProbe, UserWrites

if TYPE_CHECKING:
    from pathlib import Path

    from lab.topology.model import Topology

GOOD = """
name: mine
summary: A summary.
settle: 2s
seed: 7
steps:
  - {fault: loss, target: "role:master", set: {percent: 5}, hold: 20s}
  - {wait: 500ms}
  - {until: steady, timeout: 30s}
  - {exec: [crm_mon, "-1"], target: m}
  - random: [crash @random-worker, loss role:master percent=5]
    for: 2m
    hold: 5s
expect: [outage(api.vip) <= 5s, vip_unique]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def lab_of(topology: Topology) -> Any:
    """A double of a lab: its topology, and nodes that are their names."""
    return SimpleNamespace(topology=topology, name=topology.name, node=str)


@pytest.mark.parametrize("name", sorted(catalog.shipped()))
def test_what_comes_with_halab_is_good(name: str, topology: Topology) -> None:
    found = catalog.find(name)
    assert found.name == name
    assert found.summary
    assert found.expect
    precheck.check(found, lab_of(topology))


def test_a_scenario_is_read_as_it_is_written(tmp_path: Path) -> None:
    found = scenario_file.load(write(tmp_path, GOOD))
    assert (found.name, found.settle_ms, found.seed, found.repeats) == ("mine", 2000, 7, 1)
    fault, wait, until, run, dice = found.steps
    assert (fault.value, fault.target, fault.options, fault.hold_ms) == (
        "loss",
        "role:master",
        {"percent": "5"},
        20_000,
    )
    assert (wait.for_ms, until.value, until.timeout_ms, run.items, run.target) == (
        500,
        "steady",
        30_000,
        ("crm_mon", "-1"),
        "m",
    )
    assert (dice.items, dice.for_ms, dice.hold_ms) == (
        ("crash @random-worker", "loss role:master percent=5"),
        120_000,
        5_000,
    )
    assert [item.text for item in found.expect] == ["outage(api.vip) <= 5s", "vip_unique"]
    assert fault.line == 7


OWN = """probes:
  - api.vip
  - {name: shop, url: "http://vip:30080/", from: workers}
writes:
  orders: {write: "PUT http://vip:30080/{key}", read: "http://vip:30080/"}
"""


def test_services_of_ones_own_are_read_as_they_are_written(tmp_path: Path) -> None:
    found = scenario_file.load(write(tmp_path, GOOD + OWN))
    assert found.probes == ("api.vip",)
    shop = UserProbe(name="shop", url="http://vip:30080/", place="workers")
    assert found.user_probes == (shop,)
    assert found.user_probes[0].line == 17
    (orders,) = found.user_writes
    assert (orders.name, orders.write, orders.read) == (
        "orders",
        "PUT http://vip:30080/{key}",
        "http://vip:30080/",
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ("from: workers", "from: worker", 17, "workers"),
        ("url: ", "ulr: ", 17, "did you mean `url`"),
        ("name: shop, ", "", 17, "an item without `name`"),
        (', read: "http://vip:30080/"', "", 19, "`read` is missing"),
    ],
)
def test_nonsense_about_ones_own_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, hint: str
) -> None:
    assert old in OWN
    path = write(tmp_path, GOOD + OWN.replace(old, new))
    with pytest.raises(TopologyError) as caught:
        scenario_file.load(path)
    told = [(each.line, f"{each.message} {each.hint}") for each in caught.value.problems]
    assert any(hint in text for at, text in told if at >= line), told


def test_the_example_of_ones_own_services_is_good(topology: Topology) -> None:
    found = scenario_file.load(paths.shipped("topologies") / "services" / "shop-crash-worker.yaml")
    precheck.check(found, lab_of(topology))
    service = {"spec": {"clusterIP": "10.43.7.7"}}
    known = UserServices(topology, ServiceNames(lambda *_: service))
    rows = known.rows(found.user_probes, found.user_writes)
    assert {row.name for row in rows} == {
        "shop",
        "shop-inside.w1",
        "shop-inside.w2",
        "shop-inside.w3",
        "orders-file",
        "orders",
    }


def test_the_example_of_a_database_is_good(topology: Topology) -> None:
    services = paths.shipped("topologies") / "services"
    found = scenario_file.load(services / "postgres-power-cut.yaml")
    precheck.check(found, lab_of(topology))
    known = UserServices(topology, ServiceNames(lambda *_: {}))
    rows = {row.name: row for row in known.rows(found.user_probes, found.user_writes)}
    assert rows.keys() == {"db", "shop", "rows"}
    objects = list(yaml.safe_load_all((services / "postgres.yaml").read_text()))
    ports = [
        row["nodePort"]
        for item in objects
        if item["kind"] == "Service"
        for row in item["spec"]["ports"]
    ]
    assert f"tcp://vip:{ports[0]}" in {probe.url for probe in found.user_probes}


@pytest.mark.parametrize(
    ("old", "new", "line", "hint"),
    [
        ("summary", "sumary", 3, "summary"),
        ("fault: loss", "falt: loss", 7, "fault"),
        ('target: "role:master", ', "", 7, "@vip-holder"),
        ("hold: 20s}", "hold: soon}", 7, "400ms"),
        ("wait: 500ms", "wait: 500", 8, "500ms"),
        ("until: steady", "until: stedy", 9, "steady"),
        ("until: steady", "ceph: wirte", 9, "write"),
        ("[outage(api.vip) <= 5s, vip_unique]", "[outage(api.vip) <= 5, vip_unique]", 14, "500ms"),
        ("vip_unique]", "vip_uniqe]", 14, "vip_unique"),
        ('[crm_mon, "-1"]', "crm_mon", 10, "crm_mon"),
        ("{wait: 500ms}", "{wait: 500ms, until: steady}", 8, "one each"),
        ("name: mine", "name: Mine!", 2, "mine"),
    ],
)
def test_nonsense_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, hint: str
) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(TopologyError) as caught:
        scenario_file.load(path)
    assert any(
        problem.line == line and hint in f"{problem.message} {problem.hint}"
        for problem in caught.value.problems
    ), caught.value


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("fault: loss", "fault: los", "loss"),
        ("percent: 5", "percnt: 5", "percent"),
        ("role:master", "role:masters", "role:master"),
        ("crash @random-worker", "crsh @random-worker", "crash"),
        ("target: m}", "target: m9}", "no node"),
    ],
)
def test_what_the_loader_cannot_know_is_told_before_anything_is_broken(
    tmp_path: Path, topology: Topology, old: str, new: str, hint: str
) -> None:
    found = scenario_file.load(write(tmp_path, GOOD.replace(old, new)))
    with pytest.raises(InputError, match=r"mine\.yaml:\d+") as caught:
        precheck.check(found, lab_of(topology))
    assert hint in str(caught.value)


def test_a_topology_may_bring_its_own() -> None:
    text = (
        paths.shipped("topologies") / "1m1w.yaml"
    ).read_text() + "scenarios:\n  - name: one\n    steps: [{wait: 1s}]\n    expect: [steady]\n"
    assert [item.name for item in loader.parse(text, "f.yaml").scenarios] == ["one"]
    with pytest.raises(TopologyError, match="second time"):
        loader.parse(
            text + "  - name: one\n    steps: [{wait: 1s}]\n    expect: [steady]\n", "f.yaml"
        )


def test_an_unknown_scenario_is_an_input_error() -> None:
    with pytest.raises(InputError, match="crash-vip-holder"):
        catalog.find("crash-vip-holdr")
    with pytest.raises(InputError, match="cannot be read"):
        catalog.find("./nowhere.yaml")


class DoubleInstruments:
    """A double of the instrument: keeps what it is told."""

    begin = 0.0

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.running = False

    def start(self, names: object) -> None:
        del names
        self.running = True

    def note(self, event: Event) -> None:
        self.events.append(event)

    def stop(self) -> list[Event]:
        self.running = False
        return self.events

    def states(self) -> list[tuple[str, str]]:
        return [
            (event.data["index"], event.data["state"])
            for event in self.events
            if event.kind == "step"
        ]


class DoubleFaults:
    """A double of a lab's faults, and of what injects and heals them; `broken` is what fails."""

    def __init__(self) -> None:
        self.broken = ""

    def targets(self, word: str, seed: int) -> tuple[str, ...]:
        del seed
        return (word,)

    def inject(self, *_: object) -> tuple[object, ...]:
        if self.broken == "inject":
            raise FaultError("no effect")
        return ()

    def active(self) -> tuple[object, ...]:
        return ()

    def heal(self, active: object) -> object:
        return active

    def rejoin(self, active: object, on_change: object) -> None:
        del active, on_change


class DoubleAudit:
    """A double of the look at Pacemaker; `wrong` is what it finds after the first time."""

    def __init__(self) -> None:
        self.wrong, self.looks = "", 0

    def observe(self) -> Observation:
        self.looks += 1
        bad = self.wrong if self.looks > 1 else ""
        return Observation(ok=not bad, detail=bad or "as before")


def runner_of(topology: Topology, steps: tuple[Step, ...], seed: int = 1) -> Any:
    """A runner whose collaborators are doubles: nothing is wrong with this lab."""
    faults: Any = DoubleFaults()
    context = RunContext(
        lab=lab_of(topology),
        name="x",
        instruments=DoubleInstruments(),  # type: ignore[arg-type]
        cancelled=threading.Event(),
        dice=random.Random(seed),
        faults=faults,
        injector=faults,
        healer=faults,
        audit=DoubleAudit(),  # type: ignore[arg-type]
        observe_lab=lambda _: Observation(ok=True, detail="steady"),
        steady_timeout_s=0.01,
    )
    return ScenarioRunner(context, Scenario(name="x", steps=steps, settle_ms=1))


@pytest.fixture
def runner(topology: Topology) -> Any:
    crash = Step(verb="fault", value="crash", target="m", hold_ms=1)
    return runner_of(topology, (crash, Step(verb="wait", value="1ms", for_ms=1)))


def test_every_verb_and_value_that_a_file_may_have_can_be_carried_out() -> None:
    assert set(steps.STEPS) == set(scenario_file.VERBS)
    assert {"steady", *steps.CONDITIONS} == set(scenario_file.UNTIL)


def test_a_run_measures_breaks_and_heals(runner: Any) -> None:
    events = runner.run()
    assert runner.context.instruments.states() == [
        (index, state) for index in ("1", "2", "recover") for state in ("begin", "end")
    ]
    assert events
    assert not runner.context.instruments.running


def test_a_step_that_fails_ends_the_run_healed(runner: Any) -> None:
    runner.context.faults.broken = "inject"
    with pytest.raises(StepFailed, match="no effect"):
        runner.run()
    assert runner.context.instruments.states() == [
        ("1", "begin"),
        ("1", "failed"),
        ("recover", "begin"),
        ("recover", "end"),
    ]
    assert not runner.context.instruments.running


def test_an_interrupted_run_is_healed(runner: Any) -> None:
    runner.context.cancelled.set()
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    assert runner.context.instruments.states()[-1] == ("recover", "end")


def test_a_lab_that_does_not_come_back_is_an_error(
    runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([Observation(ok=True, detail="steady")])
    off = Observation(ok=False, detail="m is exited")
    runner.context.observe_lab = lambda _: next(answers, off)
    monkeypatch.setattr("lab.scenarios.runner.start", lambda _: None)
    with pytest.raises(HealFailed, match="m is exited"):
        runner.run()
    assert not runner.context.instruments.running


def test_a_lab_whose_pacemaker_was_changed_did_not_come_back(runner: Any) -> None:
    runner.context.audit.wrong = "the CIB of m2 differs in opt-stonith-enabled"
    with pytest.raises(HealFailed, match="m2 differs"):
        runner.run()


def test_the_same_seed_chooses_the_same(topology: Topology) -> None:
    crashes = tuple(f"crash w{number}" for number in range(50))
    step = Step(verb="random", value="", items=crashes, for_ms=30, hold_ms=1)

    def play(seed: int) -> list[str]:
        one = runner_of(topology, (step,), seed)
        one.run()
        events = one.context.instruments.events
        return [e.data["text"] for e in events if e.data.get("index") == "random 1"][:1]

    assert play(5) == play(5)
    assert len({play(seed)[0] for seed in range(20)}) > 1


def test_runs_have_folders_of_their_own_and_are_found_by_word() -> None:
    first, second = run_folders.new("3m3w", "crash"), run_folders.new("3m3w", "crash")
    assert first != second
    assert first.stat().st_mode & 0o777 == 0o700
    with pytest.raises(InputError, match="no run"):
        run_folders.find("last")
    for folder in (first, second):
        (folder / run_folders.HISTORY).write_text("")
    assert run_folders.find("last") == second
    assert run_folders.find(str(first)) == first
    assert run_folders.find(second.name) == second
    with pytest.raises(InputError, match="no run"):
        run_folders.find("../etc")


@pytest.mark.parametrize("text", ["", "crash", "crash w1 percent"])
def test_what_is_no_random_fault(text: str) -> None:
    with pytest.raises(InputError):
        precheck.parse_random(text)


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        ([("1", "wait 1s", "begin"), ("1", "wait 1s", "end")], "pass"),
        ([("1", "until steady", "begin"), ("1", "until steady", "failed")], "fail"),
        ([("1", "fault crash at m", "begin"), ("1", "fault crash at m", "failed")], "unknown"),
        ([("1", "wait 1s", "begin")], "unknown"),
    ],
)
def test_a_run_that_did_not_go_as_written_is_no_pass(
    states: list[tuple[str, str, str]], outcome: str
) -> None:
    events = [
        Event(float(number), "step", {"index": i, "text": text, "state": state})
        for number, (i, text, state) in enumerate(states)
    ]
    assert steps_verdict(history(events)).outcome == outcome


def test_a_step_says_once_how_long_it_is() -> None:
    assert Step(verb="wait", value="15s", for_ms=15_000).describe() == "wait 15s"
    assert (
        Step(verb="fault", value="crash", target="w1", hold_ms=8_000).describe()
        == "fault crash at w1 for 8s"
    )


def test_lost_writes_of_nobody_are_refused_before_anything_is_broken(topology: Topology) -> None:
    made = Scenario(
        name="x",
        summary="",
        path="mine.yaml",
        expect=(expectation.parse("lost_writes(ordres) == 0"),),
        user_writes=(UserWrites(name="orders", write="", read=""),),
    )
    with pytest.raises(InputError, match=r"mine\.yaml: .* no writes are named `ordres`") as caught:
        precheck.check(made, lab_of(topology))
    assert caught.value.hint == "did you mean `orders`?"
