"""A start that changes nothing asks each master once: for its status, and what is awaited."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_cluster import FakeCluster, node_item
from fake_engine import FakeEngine

from lab.engine.commands import Result
from lab.kube.secrets import Pair
from lab.lifecycle import awaiting, desired_state
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action, Plan, PlanStep
from lab.lifecycle.start_context import Context
from lab.live import status
from lab.live.access import Access, Credentials
from lab.live.kubeconfig_answer import BEGIN, END
from lab.live.lab import Lab
from lab.live.master_status import MORE
from lab.nodes import distributions
from lab.nodes.distributions.upstream import component_kubeconfig
from lab.nodes.ha.crm_mon import FATAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.topology.model import Topology

TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
OWN = Credentials(b"authority", Pair(b"key", b"certificate"))
KUBECONFIG = component_kubeconfig(OWN.authority, "https://127.0.0.1:6443", OWN.admin).decode()
TOLD = f"{BEGIN}\n{KUBECONFIG}\n{END}\napi 200\n{MORE}\n"
LABELS = {f"node-role.kubernetes.io/{word}": "true" for word in ("control-plane", "etcd", "worker")}


@dataclass
class Bench:
    """A lab that runs, whose nodes are Ready, and in which all answers."""

    topology: Topology
    engine: FakeEngine
    cluster: FakeCluster
    changed: list[bool] = field(default_factory=list)
    """For each add-on, whether `ensure` changed it."""

    def context(self, *steps: PlanStep) -> Context:
        lab = Lab(self.engine, self.topology)  # type: ignore[arg-type]
        applier = Applier(lab.engine, lab.reporter, "run", lab.cancelled)
        context = Context(lab, lab.observe(), SimpleNamespace(), applier, timeout_s=60)  # type: ignore[arg-type]
        context.distribution = distributions.find("upstream")
        context.plan = Plan(steps)
        return context

    def awaited(self, *steps: PlanStep) -> Context:
        context = self.context(*steps)
        awaiting.find_access(context)
        awaiting.await_lab(context)
        return context

    def of_masters(self) -> list[str]:
        """The commands on masters."""
        names = tuple(f"halab-3m3w-{node.name}: " for node in self.topology.masters)
        return [line for line in self.engine.commands if line.startswith(names)]


@pytest.fixture
def bench(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> Bench:
    topology = replace(topology, addons=())
    engine = FakeEngine()
    engine.add_lab(desired_state.desired(topology, distributions.find("upstream"), TAGS, 6443))
    engine.answers = {
        "…lb: curl": Result(0, "200"),
        "ipmitool": Result(0, "Chassis Power is on\n"),
        BEGIN: Result(0, f"{TOLD}ActiveState=active\nExecMainStatus=0\n"),
    }
    items = {node.name: node_item(LABELS) for node in topology.nodes}
    made = Bench(topology, engine, FakeCluster(items))

    @contextlib.contextmanager
    def cluster(_: Access) -> Iterator[FakeCluster]:
        yield made.cluster

    def manager(*_: Any) -> SimpleNamespace:
        results = [SimpleNamespace(changed=changed) for changed in made.changed]
        return SimpleNamespace(ensure=lambda: results)

    monkeypatch.setattr(Access, "cluster", cluster)
    monkeypatch.setattr(awaiting, "AddonManager", manager)
    monkeypatch.setattr(status, "_kubernetes", lambda _: made.cluster.items)
    return made


def test_unchanged_lab_is_awaited_and_looked_at_by_one_command_on_each_master(bench: Bench) -> None:
    context = bench.awaited()
    assert len(bench.of_masters()) == len(bench.topology.masters)
    assert context.access is not None
    assert (context.access.credentials, context.access.port) == (OWN, 6443)
    assert context.status is not None
    assert {row.kubernetes for row in context.status.nodes[:6]} == {"Ready"}


def test_unchanged_lab_that_had_to_be_waited_for_is_looked_at_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter([bench.cluster.items | {"w1": node_item(LABELS, "False")}])
    monkeypatch.setattr(FakeCluster, "nodes", lambda _: next(rounds, bench.cluster.items))
    assert bench.awaited().status is None


def test_unchanged_lab_whose_add_on_was_brought_back_is_looked_at_anew(bench: Bench) -> None:
    bench.changed = [False, True]
    assert bench.awaited().status is None


def test_unchanged_labs_pacemaker_is_started_when_it_has_ended_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.lifecycle.readiness.EVERY_S", 0)
    ended = "\n".join(FATAL)
    bench.engine.answers = {f"3m3w-m2: …{BEGIN}": Result(0, TOLD + ended), **bench.engine.answers}
    assert bench.awaited().status is None
    started = [line for line in bench.engine.commands if "systemctl start" in line]
    assert started == ["halab-3m3w-m2: systemctl start --no-block pacemaker"]


def test_changed_lab_is_not_looked_at_before_it_works(bench: Bench) -> None:
    path = distributions.find("upstream").admin_kubeconfig
    bench.engine.answers[f"cat {path}"] = Result(0, KUBECONFIG)
    context = bench.awaited(PlanStep(action=Action.CREATE_VOLUME, subject="v", reason="missing"))
    assert context.status is None
    assert not [line for line in bench.engine.commands if BEGIN in line]
