"""Each command does what it says when all is well."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from fake_cluster import FakeCluster, node_item
from fake_engine import FakeEngine
from halab_runner import halab
from histories import good

from lab.addons import manager
from lab.addons.manager import AddonResult, AddonStatus
from lab.analysis.history import events, run_folders
from lab.base import locks
from lab.base.errors import LabError
from lab.base.wait import Observation
from lab.cli import access, lesson
from lab.engine import client
from lab.engine.commands import Result
from lab.engine.files import File
from lab.engine.labels import LABEL_INSTRUMENT, secrets_volume
from lab.host import doctor, network
from lab.host.findings import Finding
from lab.images import available
from lab.images.available import Offer, Shelf
from lab.kube.inventory import ObjectKey
from lab.kube.pki import new_secrets
from lab.lessons import desk
from lab.lessons import verify as lesson_play
from lab.lessons.verify import PlayedLesson, PlayedStep
from lab.lifecycle import boot, desired_state
from lab.lifecycle import reset as resetting
from lab.lifecycle import start as starting
from lab.lifecycle.reset_result import ResetResult
from lab.live import active_faults, steady_state, verify
from lab.live.access import Access
from lab.live.lab import Lab
from lab.live.verify import CheckResult
from lab.nodes import distributions, etcd
from lab.scenarios import run as scenario_run
from lab.scenarios.run import ScenarioRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology.model import Topology
    from lab.topology.scenario_file import Scenario

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
FIT = {"Architecture": "x86_64", "BridgeNfIptables": True}
SECRETS = new_secrets("3m3w")
ETCD = "etcd_server_has_leader 1\netcd_server_is_leader {}\n"


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCluster:
    """A quiet host, a folder of one's own, images that are here, nodes that are ready at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "RESOLVERS", ())
    monkeypatch.setattr(network, "free_port", lambda wanted: wanted)
    monkeypatch.setattr(Lab, "builder", lambda _: SimpleNamespace(missing=lambda *_: [], tags=TAGS))
    monkeypatch.setattr(boot, "await_admitting", lambda *_: None)
    monkeypatch.setattr(starting, "MAKE", (*starting.MAKE[:-1], lambda _: None))
    cluster = FakeCluster()

    @contextlib.contextmanager
    def lend(_: Access) -> Iterator[FakeCluster]:
        yield cluster

    monkeypatch.setattr(Access, "cluster", lend)
    return cluster


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine that holds no lab."""
    engine = FakeEngine(about=FIT)
    monkeypatch.setattr(client, "connect", lambda: engine)
    return engine


@pytest.fixture
def engine(empty: FakeEngine, cluster: FakeCluster, topology: Topology) -> FakeEngine:
    """An engine that runs the reference installation: m holds the VIP and leads etcd."""
    settled = network.settled(topology, empty, empty.observe("3m3w"))  # type: ignore[arg-type]
    empty.add_lab(desired_state.desired(settled, distributions.find("upstream"), TAGS, 6443))
    for name, content in SECRETS.files.items():
        path = f"/secrets/{name}"
        empty.volumes[secrets_volume("3m3w")].files[path] = File(path=path, content=content)
    vip = f"2: eth0    inet {topology.network.vip}/24 scope global eth0\n"
    empty.answers = {
        "halab-3m3w-m: …is|has": Result(0, f"{vip}{ETCD.format(1)}api 200"),
        "is|has": Result(0, f"{ETCD.format(0)}api 200"),
        "ipmitool": Result(0, "Chassis Power is on\n"),
        "journalctl": Result(0, "kubelet: all is well\n"),
        "uptime": Result(0, "up 3 days\n"),
        "kubectl get": Result(0, "NAME STATUS\n"),
    }
    cluster.items = {node.name: node_item({}) for node in topology.nodes}
    return empty


def answer(*words: str, code: int = 0) -> Any:
    """Return the answer of a command as JSON; what a person is told goes to stderr."""
    return json.loads(halab(*words, "-o", "json", code=code).stdout)


# --- start, plan, status, list, stop, destroy ---


def test_start_makes_a_lab_and_writes_its_kubeconfig(empty: FakeEngine) -> None:
    found = answer("start", "1m1w")
    assert (found["name"], found["changed"], found["why_not"]) == ("1m1w", True, [])
    assert Path(found["kubeconfig"]).is_file()
    assert empty.running() == {f"halab-1m1w-{name}" for name in ("m", "w1", "lb", "bmc")}


def test_start_says_that_nothing_was_changed_when_all_runs(engine: FakeEngine) -> None:
    done = halab("start", "3m3w")
    assert "lab 3m3w runs already; no machine was changed" in done.stderr
    assert "halab kubectl 3m3w -- get pods" in done.stderr
    assert "start" not in " ".join(engine.calls)


def test_start_of_a_node_powers_it_on(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "MAKE_NODE", (*starting.MAKE_NODE[:-1], lambda _: None))
    engine.containers["halab-3m3w-w1"].state = "exited"
    assert answer("start", "3m3w", "w1")["changed"] is True
    assert "halab-3m3w-w1" in engine.running()


@pytest.mark.parametrize("words", [("plan", "1m1w"), ("start", "1m1w", "--dry-run")])
def test_plan_shows_the_steps_and_changes_nothing(
    empty: FakeEngine, words: tuple[str, ...]
) -> None:
    steps = answer(*words)["steps"]
    assert {"action": "boot", "subject": "w1", "reason": "first boot"} in steps
    assert empty.calls == []


def test_plan_has_nothing_to_do_when_all_runs(engine: FakeEngine) -> None:
    assert halab("plan", "3m3w").stdout == "nothing to do\n"
    assert engine.calls == []


def test_status_shows_who_holds_the_vip_and_leads_etcd(engine: FakeEngine) -> None:
    found = answer("status")
    assert (found["vip_holders"], found["etcd_leader"]) == (["m"], "m")
    assert {node["kubernetes"] for node in found["nodes"] if node["role"] == "worker"} == {"Ready"}
    rows = [line.split() for line in halab("status", "3m3w").stdout.splitlines()]
    assert ["bmc", "bmc", "-", "running", "-", "-", "-", "-"] in rows
    assert engine.running() == set(engine.containers)


def test_list_shows_labs(engine: FakeEngine) -> None:
    row = {"name": "3m3w", "distribution": "upstream", "nodes": 8, "running": 8}
    assert answer("list") == [row]
    assert len(engine.containers) == 8


def test_list_says_how_to_make_one_when_there_is_none(empty: FakeEngine) -> None:
    del empty
    done = halab("list")
    assert (done.stdout, done.stderr) == ("", "no labs; `halab start 3m3w` makes one\n")


def test_stop_shuts_the_named_nodes_down(engine: FakeEngine) -> None:
    assert answer("stop", "3m3w", "w1", "w2") == {"stopped": ["w1", "w2"]}
    assert set(engine.containers) - engine.running() == {"halab-3m3w-w1", "halab-3m3w-w2"}
    assert len(answer("stop")["stopped"]) == 6
    assert "nothing was running" in halab("stop").stderr


def test_destroy_leaves_nothing(engine: FakeEngine) -> None:
    parts = len(engine.containers) + len(engine.volumes) + len(engine.networks)
    assert answer("destroy", "3m3w") == {"removed": {"3m3w": parts}}
    assert (engine.containers, engine.volumes, engine.networks) == ({}, {}, {})


# --- validate, schema, init, completion ---


def test_validate_counts_nodes() -> None:
    found = answer("validate", "3m3w")
    assert found == {"name": "3m3w", "masters": 3, "workers": 3, "valid": True}
    assert halab("validate", "3m3w").stdout == "3m3w: fine: lab 3m3w, 3 masters, 3 workers\n"


def test_schema_is_json() -> None:
    assert json.loads(halab("schema").stdout)["type"] == "object"


def test_init_writes_a_file_that_is_valid() -> None:
    assert "next: halab start my.yaml" in halab("init", "my.yaml").stderr
    assert answer("validate", "my.yaml")["masters"] == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    assert "_HALAB_COMPLETE" in halab("completion", shell).stdout


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("command", "typed", "offered"),
    [
        (access.exec_command, "m", ["m", "m2", "m3"]),
        (access.logs_command, "@v", ["@vip-holder"]),
        (access.power_command, "@v", []),
    ],
)
def test_nodes_and_selectors_are_completed(
    command: click.Command, typed: str, offered: list[str]
) -> None:
    context = click.Context(command)
    context.params["lab"] = "3m3w"
    (node,) = [each for each in command.params if each.name == "node"]
    assert [item.value for item in node.shell_complete(context, typed)] == offered


# --- exec, shell, logs, kubectl, kubeconfig, power ---


def test_exec_passes_output_and_exit_code_on(engine: FakeEngine) -> None:
    assert halab("exec", "3m3w", "m", "--", "uptime").stdout == "up 3 days\n"
    engine.answers["false"] = Result(7, "no\n")
    assert halab("exec", "3m3w", "m", "--", "false", code=7).stdout == "no\n"


def test_a_selector_is_the_node_that_it_means_now(engine: FakeEngine) -> None:
    halab("exec", "3m3w", "@first-master", "--", "uptime")
    assert engine.commands[-1].endswith("uptime")
    assert halab("logs", "3m3w", "@first-master").stdout.startswith("--- m\n")
    unknown = halab("exec", "3m3w", "@holder", "--", "uptime", code=2).stderr
    assert "did you mean `@vip-holder`?" in unknown


def test_no_command_runs_on_a_machine_that_is_off(engine: FakeEngine) -> None:
    engine.containers["halab-3m3w-w3"].state = "exited"
    refused = halab("exec", "3m3w", "w3", "--", "uptime", code=1)
    assert "w3 is off or frozen" in refused.stderr
    assert "halab start 3m3w w3" in refused.stderr


@dataclass
class Programs:
    """Programs of the host: what is run of them."""

    ran: list[list[str]] = field(default_factory=list)
    kubeconfig: str = ""

    def run(self, argv: list[str], env: Any = None, **_: Any) -> SimpleNamespace:
        self.ran.append(argv)
        self.kubeconfig = (env or {}).get("KUBECONFIG", "")
        return SimpleNamespace(returncode=3)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    double = Programs()
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", double.run)
    return double


def test_shell_opens_one_on_the_only_labs_node(engine: FakeEngine, programs: Programs) -> None:
    halab("shell", "m2", code=3)
    assert programs.ran == [["/bin/docker", "exec", "-it", "halab-3m3w-m2", "bash", "-l"]]
    assert engine.calls == []


def test_logs_shows_the_journals_of_what_runs(engine: FakeEngine) -> None:
    engine.containers["halab-3m3w-w1"].state = "exited"
    assert halab("logs", "3m3w", "w2").stdout == "--- w2\nkubelet: all is well\n"
    text = halab("logs", "3m3w", "-u", "kubelet", "-n", "5").stdout
    assert "--- w1\n(not running)\n--- w2\nkubelet: all is well\n" in text
    assert any(line.endswith("-n 5 -u kubelet") for line in engine.commands)


def test_logs_follows_one_node(engine: FakeEngine, programs: Programs) -> None:
    halab("logs", "3m3w", "w1", "-f", code=3)
    (argv,) = programs.ran
    assert argv[:4] == ["/bin/docker", "exec", "halab-3m3w-w1", "journalctl"]
    assert engine.commands == []


def test_kubectl_runs_the_hosts_own_when_there_is_one(
    engine: FakeEngine, programs: Programs
) -> None:
    halab("kubectl", "3m3w", "--", "get", "nodes", code=3)
    assert programs.ran == [["/bin/kubectl", "get", "nodes"]]
    assert yaml.safe_load(Path(programs.kubeconfig).read_text())["current-context"] == "halab-3m3w"
    assert not any("kubectl get" in line for line in engine.commands)


def test_kubectl_runs_a_masters_when_the_host_has_none(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    engine.containers["halab-3m3w-m"].state = "exited"
    assert halab("kubectl", "3m3w", "get", "nodes").stdout == "NAME STATUS\n"
    assert engine.commands == ["halab-3m3w-m2: kubectl get nodes"]


def test_kubeconfig_is_printed_merged_and_taken_out(engine: FakeEngine) -> None:
    printed = yaml.safe_load(halab("kubeconfig", "3m3w").stdout)
    assert printed["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert answer("kubeconfig") == printed
    assert "current context: halab-3m3w" in halab("kubeconfig", "--merge").stderr
    assert "took halab-3m3w out of" in halab("kubeconfig", "--unmerge").stderr
    assert "found no halab-3m3w" in halab("kubeconfig", "3m3w", "--unmerge").stderr
    assert engine.running() == set(engine.containers)


def test_power_says_what_the_controller_says(engine: FakeEngine) -> None:
    assert halab("power", "3m3w", "m", "off").stdout == "m: Chassis Power is on\n"
    assert answer("power", "3m3w", "m")["power"] == "on"
    assert all(line.startswith("halab-3m3w-bmc: ipmitool") for line in engine.commands)


def test_power_fails_when_no_controller_runs_or_the_node_has_none(engine: FakeEngine) -> None:
    assert "these have: m, m2, m3" in halab("power", "3m3w", "lb", "off", code=2).stderr
    engine.containers["halab-3m3w-bmc"].state = "exited"
    done = halab("power", "3m3w", "m", "off", code=1)
    assert "do not run (exited)" in done.stderr
    assert "`halab start 3m3w bmc`" in done.stderr


# --- export, verify, doctor, versions ---


def test_export_writes_a_folder(engine: FakeEngine) -> None:
    found = answer("export", "3m3w", "out")
    assert Path("out/nodes/m/journal.txt").read_text() == "kubelet: all is well\n"
    assert "kubernetes/pods.json" in found["files"]
    assert engine.running() == set(engine.containers)


@pytest.mark.parametrize(("ok", "code", "verdict"), [(True, 0, "pass"), (False, 4, "fail")])
def test_verify_ends_with_its_verdict(
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    ok: bool,  # noqa: FBT001
    code: int,
    verdict: str,
) -> None:
    row = CheckResult(name="VIP", node="m", command="ip addr", ok=ok, detail="on m")
    monkeypatch.setattr(verify, "verify", lambda *_: (row,))
    assert answer("verify", "3m3w", code=code)["verdict"] == verdict
    text = halab("verify", code=code).stdout
    assert f"{int(ok)} of 1 checks passed" in text
    assert "ip addr" in text
    assert engine.calls == []


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warning", 0), ("failed", 1)])
def test_doctor_ends_with_what_it_found(
    monkeypatch: pytest.MonkeyPatch, state: Any, code: int
) -> None:
    findings = (Finding("memory", state, "16 GiB", "buy some"), Finding("port", "ok", "6443"))
    monkeypatch.setattr(doctor, "examine", lambda _: findings)
    assert [row["name"] for row in answer("doctor", code=code)] == ["memory", "port"]
    text = halab("doctor", "3m3w", "--machine", code=code).stdout
    assert "memory: 16 GiB\n    → buy some" in text
    assert "port" not in text


def test_versions_marks_the_default(empty: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = Offer(version="v1.36.3", default=True, way="image", channels=("stable",))
    shelf = Shelf(
        distribution="upstream",
        key="kubernetes.version",
        default="v1.36.3",
        reason="halab's tests run on it",
        asked=True,
        versions=(offer,),
    )
    monkeypatch.setattr(available, "look", lambda *_: (shelf,))
    assert answer("versions", "upstream")[0]["versions"][0]["version"] == "v1.36.3"
    assert "v1.36.3 *" in halab("versions").stdout
    assert empty.calls == []


# --- addon, fault, scenario, report ---


@dataclass
class Addons:
    """A double of a lab's add-ons."""

    changed: list[str] = field(default_factory=list)

    def status(self, *names: str) -> tuple[AddonStatus, ...]:
        return tuple(
            AddonStatus(
                name=name,
                summary="x",
                enabled=True,
                named=False,
                working=True,
                seen="1 of 1",
                images={},
            )
            for name in names or ("prometheus", "dns-ha")
        )

    def enable(self, name: str, options: Any) -> AddonResult:
        self.changed.append(f"enable {name} {options}")
        return AddonResult(name, changed=True, seconds=1.5, seen="works")

    def disable(self, name: str) -> AddonResult:
        self.changed.append(f"disable {name}")
        return AddonResult(name, changed=False, seconds=0, seen="was not enabled")


@pytest.fixture
def addons(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Addons:
    del engine
    double = Addons()

    @contextlib.contextmanager
    def lend(_: Lab) -> Iterator[Addons]:
        yield double

    monkeypatch.setattr(manager, "open_manager", lend)
    return double


def test_addon_list_shows_all_add_ons_or_those_of_a_lab(addons: Addons) -> None:
    assert {"prometheus", "dns-ha"} < {row["name"] for row in answer("addon", "list")}
    assert len(answer("addon", "list", "3m3w")) == 2
    assert "works" in halab("addon", "status", "3m3w", "prometheus").stdout
    assert addons.changed == []


def test_addon_enable_and_disable_say_what_they_did(addons: Addons) -> None:
    done = halab("addon", "enable", "3m3w", "prometheus", "dns-ha")
    assert "prometheus: works (after 1.5 s)\n" in done.stdout
    done = halab("addon", "disable", "3m3w", "dns-ha")
    assert done.stdout == "dns-ha: was not enabled (nothing was changed)\n"
    assert addons.changed == ["enable prometheus None", "enable dns-ha None", "disable dns-ha"]


def test_fault_list_shows_what_each_does_and_what_is_on(engine: FakeEngine) -> None:
    record = json.dumps({"fault": "hang", "node": "w1", "since": 1.0}).encode()
    path = f"{active_faults.FOLDER}/00c0ffee.json"
    engine.put("halab-3m3w-w1", [File(path=path, content=record)])
    found = answer("fault", "list", "3m3w")
    assert [(row["id"], row["fault"]) for row in found["active"]] == [("00c0ffee", "hang")]
    assert {"crash", "partition"} < {row["name"] for row in found["faults"]}
    assert "on: hang at w1 since" in halab("fault", "list").stdout


def test_fault_inject_proves_it_and_heal_takes_it_back(engine: FakeEngine) -> None:
    done = halab("fault", "inject", "3m3w", "hang", "w1")
    assert re.match(r"hang at w1: .* \(after \d+ ms\)\n", done.stdout)
    assert "it stays until `halab fault heal 3m3w`" in done.stderr
    assert engine.containers["halab-3m3w-w1"].state == "paused"
    path = f"{active_faults.FOLDER}/00c0ffee.json"
    record = json.dumps({"fault": "hang", "node": "w1", "since": 1.0}).encode()
    engine.put("halab-3m3w-w1", [File(path=path, content=record)])
    assert halab("fault", "heal", "3m3w").stdout == "healed hang at w1\n"
    assert engine.running() == set(engine.containers)


def test_fault_heal_has_nothing_to_do_when_no_fault_is_on(engine: FakeEngine) -> None:
    assert halab("fault", "heal").stdout == "no fault is on\n"
    assert [call for call in engine.calls if "helper" not in call] == []


def test_fault_heal_removes_what_a_killed_run_left(engine: FakeEngine) -> None:
    engine.add("agent", "3m3w", **{LABEL_INSTRUMENT: "1"})
    engine.add("other", "other", **{LABEL_INSTRUMENT: "2"})
    assert "removed what a killed run had left" in halab("fault", "heal", "3m3w").stdout
    assert "agent" not in engine.containers
    assert "other" in engine.containers


def test_fault_heal_leaves_the_instrument_of_a_run_that_goes_on(engine: FakeEngine) -> None:
    engine.add("agent", "3m3w", **{LABEL_INSTRUMENT: "1"})
    with locks.alone("3m3w", "scenario x"):
        assert answer("fault", "heal", "3m3w") == {"healed": [], "leftovers_removed": False}
    assert "agent" in engine.containers


@pytest.fixture
def run_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was measured. Its picture takes seconds to draw; test_report.py draws one."""
    double = SimpleNamespace(draw=lambda *_: b"")
    monkeypatch.setitem(sys.modules, "lab.analysis.report.picture", double)
    folder = run_folders.new("3m3w", "crash")
    with (folder / run_folders.HISTORY).open("w") as file:
        events.write(file, good().events)
    return folder


def test_scenario_list_and_show_what_comes_with_halab() -> None:
    names = {row["name"]: row for row in answer("scenario", "list")}
    assert halab("scenario", "list").stdout.count("\n") == len(names) + 1
    found = answer("scenario", "show", "crash-vip-holder")
    assert found["expect"]
    assert halab("scenario", "show", "crash-vip-holder").stdout == Path(found["path"]).read_text()


def test_scenario_run_ends_with_its_reports_verdict(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, run_folder: Path
) -> None:
    report = scenario_run.judge(run_folder)
    seeds: list[int | None] = []
    asked: list[dict[str, str]] = []

    def run(_: Lab, scenario: Scenario, seed: int | None, *more: Any) -> ScenarioRun:
        del more
        seeds.append(seed)
        asked.append({probe.name: probe.url for probe in scenario.user_probes})
        return ScenarioRun(run_folder, report)

    monkeypatch.setattr(scenario_run, "run", run)
    words = ("scenario", "run", "3m3w", "crash-vip-holder", "--seed", "7", "--repeats", "2")
    found = answer(*words)
    assert [row["outcome"] for row in found["runs"]] == ["pass", "pass"]
    assert seeds == [7, 8]
    assert f"everything is in {run_folder}" in halab(*words).stdout
    halab(*words, "--probe", "shop=http://vip/?a=b", "--probe", "db=tcp://vip:30432")
    assert asked[0] == {}
    assert asked[-1] == {"shop": "http://vip/?a=b", "db": "tcp://vip:30432"}
    assert "NAME=URL" in halab(*words, "--probe", "http://vip/", code=2).stderr
    assert engine.calls == []


def test_report_judges_a_run_again_and_lists_runs(run_folder: Path) -> None:
    assert answer("report") == [{"run": run_folder.name, "folder": str(run_folder)}]
    assert f"everything is in {run_folder}" in halab("report", "last").stdout
    assert halab("report", "--compare", run_folder.name, "last").stdout
    assert "no runs yet" not in halab("report").stderr


# --- lesson ---


def test_lesson_leads_through_its_steps(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {row["name"] for row in answer("lesson", "list")}
    assert {"reading-a-lab", "split-brain"} < names
    assert len(names) == 12
    monkeypatch.setattr(etcd, "ask", lambda *_: {"raftTerm": "3"})
    tidied: list[str] = []
    monkeypatch.setattr(desk, "clean", lambda *_: tidied.append("clean"))
    monkeypatch.setattr(desk, "make_whole", lambda *_: tidied.append("whole"))
    assert "no lesson was started" in halab("lesson", "next", code=2).stderr
    first = halab("lesson", "start", "vip-moves")
    assert "Step 1 of 4: before" in first.stdout
    assert "halab kubectl 3m3w -- create configmap lesson" in first.stdout
    assert "hint 1 of 2" in halab("lesson", "hint").stdout
    assert "that is the last one" in halab("lesson", "hint").stderr
    assert answer("lesson", "show")["step"] == "before"
    assert "has not passed yet" in halab("lesson", "next", code=2).stderr
    usual = dict(engine.answers)
    engine.answers = {"configmaps": Result(0, '{"items": []}'), **usual}
    assert "0 of 1 checks passed" in halab("lesson", "check", code=4).stdout
    wrong = '{"items": [{"data": {"holder": "w1"}}]}'
    engine.answers = {"configmaps": Result(0, wrong), **usual}
    looked = halab("lesson", "check", code=4)
    assert "to change an answer: halab kubectl 3m3w -- edit configmap lesson" in looked.stderr
    right = '{"items": [{"data": {"holder": "m"}}]}'
    engine.answers = {"configmaps": Result(0, right), **usual}
    assert answer("lesson", "check")["ok"] is True
    assert answer("lesson", "next")["step"] == "kill"
    assert answer("lesson", "start", "vip-moves")["step"] == "kill"  # where he stopped
    assert tidied == ["clean"]  # when the lesson began
    assert "step 2 of 4 in lab 3m3w" in " ".join(halab("lesson", "list").stdout.split())
    assert "Step 1 of 4: before" in halab("lesson", "reset").stdout
    assert tidied == ["clean", "whole", "clean"]
    for step in ("kill", "read", "heal", None):
        assert answer("lesson", "next", "--skip")["step"] == step
    assert tidied == ["clean", "whole", "clean", "whole", "clean"]
    assert engine.running() == set(engine.containers)


def test_lesson_verify_ends_with_its_verdict(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = PlayedStep(step="kill", ok=False, detail="its checks do not pass", seconds=1.0)
    monkeypatch.setattr(desk, "make_whole", lambda *_: None)
    monkeypatch.setattr(desk, "clean", lambda *_: None)
    monkeypatch.setattr(
        lesson_play,
        "play",
        lambda *_: PlayedLesson(lesson="vip-moves", lab="3m3w", steps=(played,)),
    )
    assert answer("lesson", "verify", "vip-moves", code=4)["ok"] is False
    done = halab("lesson", "verify", "vip-moves", code=4)
    assert "FAILED  kill (1.0 s): its checks do not pass" in done.stdout
    assert engine.calls == []


def test_lesson_wants_a_lab_of_its_shape(engine: FakeEngine) -> None:
    del engine
    refused = halab("lesson", "start", "vip-moves", "--set", "ha.token=400ms", code=2)
    assert "lab 3m3w exists: --set and --distribution are for one that is made" in refused.stderr
    assert "did you mean `vip-moves`" in halab("lesson", "start", "vip-move", code=2).stderr
    assert "`halab lesson verify FOLDER`" in halab("lesson", "start", "./mine", code=2).stderr


def test_lesson_waits_for_a_lab_that_is_not_whole_yet(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del engine
    seen = iter([Observation(ok=False, detail="w1 is NotReady"), Observation(ok=True, detail="")])
    monkeypatch.setattr(steady_state, "steady", lambda _: next(seen))
    monkeypatch.setattr(etcd, "ask", lambda *_: {"raftTerm": "3"})
    monkeypatch.setattr(desk, "clean", lambda *_: None)
    assert answer("lesson", "start", "vip-moves")["step"] == "before"


def test_lesson_refuses_a_lab_that_stays_broken(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del engine
    broken = Observation(ok=False, detail="w1 is NotReady")
    monkeypatch.setattr(steady_state, "steady", lambda _: broken)
    monkeypatch.setattr(lesson, "WHOLE_S", 0)
    refused = halab("lesson", "start", "vip-moves", code=2)
    assert "lab 3m3w is not whole: w1 is NotReady" in refused.stderr


def test_schema_of_a_lesson_is_json() -> None:
    assert json.loads(halab("schema", "--lesson").stdout)["title"] == "halab lesson"


# --- images ---


@pytest.fixture
def images(empty: FakeEngine) -> list[str]:
    """The tags of all images that labs are made of, which are here."""
    empty.tags = set()
    empty.tags |= {row["tag"] for row in answer("images", "list")}
    return sorted(empty.tags)


def test_images_list_says_what_is_here(empty: FakeEngine, images: list[str]) -> None:
    assert all(row["here"] for row in answer("images", "list"))
    assert empty.tags == set(images)
    empty.tags = set()
    assert "not built" in halab("images", "list").stdout


def test_images_build_makes_nothing_when_all_is_here(empty: FakeEngine, images: list[str]) -> None:
    found = answer("images", "build", "--distribution", "upstream")
    assert {"upstream", "loadbalancer", "bmc"} == set(found)
    assert set(found.values()) < set(images)
    assert empty.calls == []


def test_images_are_saved_and_loaded(empty: FakeEngine, images: list[str]) -> None:
    assert "saved halab/" in halab("images", "save", "all.tar").stderr
    assert Path("all.tar").read_bytes() == b"tar"
    assert "Loaded 3 bytes" in halab("images", "load", "all.tar").stderr
    assert empty.tags == set(images)


def test_images_remove_removes_them(empty: FakeEngine, images: list[str]) -> None:
    assert halab("images", "remove").stderr.count("removed halab/") == len(images)
    assert empty.tags == set()


# --- all ---


def commands_of(*group: str) -> list[tuple[str, ...]]:
    """Return the commands that the help of halab, or of a group of it, lists."""
    listed = halab(*group, "--help").stdout.partition("Commands:")[2]
    return [(*group, name) for name in re.findall(r"^  ([a-z]+)  ", listed, re.MULTILINE)]


def test_every_command_has_a_test_here_or_beside() -> None:
    named = [command for name in commands_of() for command in (name, *commands_of(*name))]
    assert len(named) > 50
    beside = Path(__file__).parents[1] / "watch" / "test_watching.py"
    files = [*Path(__file__).parent.glob("test_*.py"), beside]
    source = "\n".join(file.read_text() for file in files)
    words = {command: ", ".join(f'"{word}"' for word in command) for command in named}
    assert {command for command in named if words[command] not in source} == set()


def test_start_says_where_the_seconds_go(empty: FakeEngine, tmp_path: Path) -> None:
    found = answer("start", "1m1w", "--profile=where")
    steps = [row["name"] for row in found["profile"]["spans"] if row["lane"] == "steps"]
    assert steps[0] == "preflight"
    assert "boot_machines" in steps
    events = json.loads((tmp_path / "where" / "profile.json").read_text())["traceEvents"]
    assert {"laying down files", "compare"} <= {row["name"] for row in events if row["ph"] == "X"}
    done = halab("start", "1m1w", "--profile")
    assert "TAKES S" in done.stdout
    assert (tmp_path / "profile.json").exists()


def test_start_refuses_a_place_for_the_profile_before_anything_is_made(empty: FakeEngine) -> None:
    assert "no folder" in halab("start", "1m1w", "--profile=a/b", code=2).stderr
    Path("file").touch()
    assert "is not a folder" in halab("start", "1m1w", "--profile=file", code=2).stderr
    assert "one node" in halab("start", "1m1w", "w1", "--profile=.", code=2).stderr
    assert "starts nothing" in halab("start", "1m1w", "--profile", "--dry-run", code=2).stderr
    swallowed = halab("start", "--profile", "1m1w", code=2).stderr
    assert "write `halab start 1m1w --profile`" in " ".join(swallowed.split())
    assert not Path("1m1w").exists()
    assert not empty.containers


def test_a_failed_start_has_a_profile_too(
    empty: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(context: Any) -> None:
        context.lab.reporter.say("API", "waits for etcd")
        raise LabError("no etcd")

    monkeypatch.setattr(starting, "MAKE", (fail,))
    failed = halab("start", "1m1w", "--profile", code=1)
    assert "no etcd" in failed.stderr
    spans = json.loads(Path("profile.json").read_text())["traceEvents"]
    assert {"fail", "waits for etcd"} <= {row["name"] for row in spans}


def test_a_profile_that_cannot_be_written_does_not_make_a_start_fail(empty: FakeEngine) -> None:
    Path("where/profile.json").mkdir(parents=True)
    found = halab("start", "1m1w", "--profile=where", "-o", "json")
    assert "where/profile.json cannot be written: Is a directory" in found.stderr
    assert json.loads(found.stdout)["profile"]["file"] == ""
    assert empty.running()


def test_reset_tells_what_it_did(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ObjectKey("namespaces", "", "shop")
    done = ResetResult("3m3w", healed=["hang at m"], removed=[key], contents={"shop": 4})
    monkeypatch.setattr(resetting, "reset", lambda _: done)
    monkeypatch.setattr(resetting, "preview_reset", lambda _: ResetResult("3m3w"))
    monkeypatch.setattr(resetting, "record", lambda _: 7)
    found = answer("reset", "3m3w")
    assert (found["changed"], found["dry_run"], found["healed"]) == (True, False, ["hang at m"])
    assert found["removed"][0]["contents"] == 4
    assert "namespaces shop with 4 objects" in halab("reset", "3m3w").stdout
    assert answer("reset", "3m3w", "--dry-run")["dry_run"] is True
    assert "nothing differs" in halab("reset", "3m3w", "--dry-run").stderr
    assert answer("reset", "3m3w", "--record") == {"lab": "3m3w", "recorded": 7}
    assert "exclude" in halab("reset", "3m3w", "--record", "--dry-run", code=2).stderr
