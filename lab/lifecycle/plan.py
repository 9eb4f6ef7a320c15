"""The steps from the observed to the desired state, each with its reason. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.engine.labels import LABEL_NODE, LABEL_SPEC

if TYPE_CHECKING:
    from lab.engine.spec import Desired, Observed


class Action(enum.StrEnum):
    """What a step does."""

    CREATE_NETWORK = "create-network"
    CREATE_VOLUME = "create-volume"
    CREATE = "create"
    BOOT = "boot"
    START = "start"
    STOP = "stop"
    REMOVE = "remove"
    REMOVE_VOLUME = "remove-volume"
    REMOVE_NETWORK = "remove-network"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One change. `subject` is a node, volume or network."""

    action: Action
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of their kinds: network, volumes, containers, boots."""

    steps: tuple[PlanStep, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is to be done."""
        return not self.steps

    def of(self, *actions: Action) -> tuple[PlanStep, ...]:
        """Return the steps of these kinds."""
        return tuple(step for step in self.steps if step.action in actions)

    def subjects(self, *actions: Action) -> tuple[str, ...]:
        """Return the subjects of the steps of these kinds."""
        return tuple(step.subject for step in self.of(*actions))


def start(desired: Desired, observed: Observed) -> Plan:
    """Return the steps from what is to what should be.

    A node that was made but never booted gets its files again. Nothing that runs is touched: a node
    with another specification is reported by `changed`, not replaced.
    """
    steps: list[PlanStep] = []
    absent = [spec.name for spec in desired.networks if spec.name not in observed.networks]
    steps.extend(
        PlanStep(action=Action.CREATE_NETWORK, subject=name, reason="missing") for name in absent
    )
    missing = [name for name in desired.volumes if name not in observed.volumes]
    steps.extend(
        PlanStep(action=Action.CREATE_VOLUME, subject=name, reason="missing") for name in missing
    )
    for spec in desired.containers:
        node = spec.labels[LABEL_NODE]
        container = observed.container(node)
        if container is None:
            steps.append(
                PlanStep(action=Action.CREATE, subject=node, reason="the node has no container")
            )
            steps.append(PlanStep(action=Action.BOOT, subject=node, reason="first boot"))
        elif container.state == "created":
            steps.append(
                PlanStep(action=Action.BOOT, subject=node, reason="made, but never booted")
            )
        elif not container.running:
            steps.append(
                PlanStep(action=Action.START, subject=node, reason=f"is {container.state}")
            )
    order = list(Action)
    return Plan(tuple(sorted(steps, key=lambda step: order.index(step.action))))


def only(steps: Plan, desired: Desired, node: str) -> Plan:
    """Return a plan's steps for one node: its container's, and those for its volumes and networks.

    The engine would make a missing volume with the container, but without the lab's labels: nothing
    would ever remove it.
    """
    parts = {node}
    for spec in desired.containers:
        if spec.labels[LABEL_NODE] == node:
            parts |= {*spec.volumes, spec.network, *spec.more}
    return Plan(tuple(step for step in steps.steps if step.subject in parts))


def changed(desired: Desired, observed: Observed) -> tuple[str, ...]:
    """Return the nodes whose containers were made from another specification than desired."""
    specs = {spec.labels[LABEL_NODE]: spec.labels[LABEL_SPEC] for spec in desired.containers}
    actual = {
        container.labels.get(LABEL_NODE, ""): container.labels.get(LABEL_SPEC)
        for container in observed.containers
    }
    return tuple(node for node, spec in actual.items() if node and spec != specs.get(node))


def stop(observed: Observed, nodes: tuple[str, ...] = ()) -> Plan:
    """Return the steps that shut down the named nodes, or all."""
    running = [one for one in observed.containers if one.state in {"running", "paused"}]
    # What has no node's name is a helper of a run that goes on: no machine to be shut down.
    names = [one.labels[LABEL_NODE] for one in running if LABEL_NODE in one.labels]
    chosen = [name for name in names if not nodes or name in nodes]
    return Plan(tuple(PlanStep(action=Action.STOP, subject=name, reason="runs") for name in chosen))


def destroy(observed: Observed) -> Plan:
    """Return the steps that leave nothing of a lab."""
    steps = [
        PlanStep(action=Action.REMOVE, subject=container.name, reason="has the lab's label")
        for container in observed.containers
    ]
    steps += [
        PlanStep(action=Action.REMOVE_VOLUME, subject=name, reason="has the lab's label")
        for name in observed.volumes
    ]
    steps += [
        PlanStep(action=Action.REMOVE_NETWORK, subject=name, reason="has the lab's label")
        for name in observed.networks
    ]
    return Plan(tuple(steps))
