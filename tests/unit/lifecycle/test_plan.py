from __future__ import annotations

from dataclasses import replace

import pytest

from lab.engine.labels import LABEL_NODE
from lab.engine.spec import Desired, Observed, ObservedContainer
from lab.lifecycle import desired_state, plan
from lab.lifecycle.plan import Action
from lab.nodes import distributions
from lab.topology.model import HighAvailability, LoadBalancer, Topology

TAGS = {
    "upstream": "halab/upstream:1",
    "loadbalancer": "halab/loadbalancer:1",
    "bmc": "halab/bmc:1",
}


def wanted(topology: Topology) -> Desired:
    return desired_state.desired(topology, distributions.find("upstream"), TAGS, 6443)


def observed(goal: Desired, state: str = "running", **states: str) -> Observed:
    containers = tuple(
        ObservedContainer(
            id=spec.name,
            name=spec.name,
            state=states.get(spec.labels[LABEL_NODE], state),
            labels=spec.labels,
        )
        for spec in goal.containers
    )
    return Observed(
        lab=goal.lab,
        networks=tuple(spec.name for spec in goal.networks),
        volumes=tuple(goal.volumes),
        containers=containers,
    )


def test_an_empty_engine_gets_everything_in_order(topology: Topology) -> None:
    steps = plan.start(wanted(topology), Observed(lab="3m3w")).steps
    actions = [step.action for step in steps]
    assert actions == sorted(actions, key=list(Action).index)
    assert actions.count(Action.CREATE_NETWORK) == 2
    assert actions.count(Action.CREATE) == actions.count(Action.BOOT) == 8
    assert actions.count(Action.CREATE_VOLUME) == 1 + 3 * 3 + 3 * 2


def test_a_running_lab_needs_nothing(topology: Topology) -> None:
    goal = wanted(topology)
    assert plan.start(goal, observed(goal)).empty


@pytest.mark.parametrize(
    ("state", "action"),
    [
        ("created", Action.BOOT),
        ("exited", Action.START),
        ("dead", Action.START),
        ("paused", Action.START),
    ],
)
def test_a_node_that_does_not_run(topology: Topology, state: str, action: Action) -> None:
    goal = wanted(topology)
    steps = plan.start(goal, observed(goal, m2=state)).steps
    assert [(step.action, step.subject) for step in steps] == [(action, "m2")]
    assert steps[0].reason


def test_a_network_without_nodes_is_completed(topology: Topology) -> None:
    goal = wanted(topology)
    steps = plan.start(
        goal, Observed(lab="3m3w", networks=tuple(spec.name for spec in goal.networks))
    ).steps
    assert Action.CREATE_NETWORK not in [step.action for step in steps]
    assert len([step for step in steps if step.action is Action.CREATE]) == 8


def test_another_specification_is_told_not_replaced(topology: Topology) -> None:
    running = observed(wanted(topology))
    other = wanted(replace(topology, ha=HighAvailability(token_ms=2000)))
    assert plan.changed(other, running) == tuple(node.name for node in topology.containers)
    assert plan.start(other, running).empty


def test_port_and_addons_do_not_change_nodes(topology: Topology) -> None:
    running = observed(wanted(topology))
    balancer = LoadBalancer(ip=topology.loadbalancer.ip, host_port=7000)
    assert plan.changed(wanted(replace(topology, addons=(), loadbalancer=balancer)), running) == ()


def test_stop_names_what_runs(topology: Topology) -> None:
    goal = wanted(topology)
    seen = observed(goal, m="exited", w1="paused")
    assert set(plan.stop(seen).subjects(Action.STOP)) == {"m2", "m3", "w1", "w2", "w3", "lb", "bmc"}
    assert plan.stop(seen, ("m", "w2")).subjects(Action.STOP) == ("w2",)


def test_destroy_removes_containers_before_volumes_before_the_network(topology: Topology) -> None:
    actions = [step.action for step in plan.destroy(observed(wanted(topology))).steps]
    assert (
        actions == [Action.REMOVE] * 8 + [Action.REMOVE_VOLUME] * 16 + [Action.REMOVE_NETWORK] * 2
    )
    assert plan.destroy(Observed(lab="x")).empty


def test_names_are_ours_and_long_enough_for_docker(topology: Topology) -> None:
    goal = wanted(topology)
    first = goal.containers[0]
    assert (first.name, first.hostname, first.ip) == ("halab-3m3w-m", "m", "172.30.0.49")
    assert all(name.startswith("halab-3m3w-") for name in goal.volumes)
    assert {spec.hostname for spec in goal.containers if spec.ports} == {"lb"}
