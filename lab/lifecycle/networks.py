"""Makes a lab's networks; if others took what the file leaves open, chooses again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.base.errors import InputError, SubnetTaken
from lab.base.hashing import digest
from lab.base.locks import one_after_another
from lab.engine import labels
from lab.host import network
from lab.lifecycle import desired_state
from lab.lifecycle.plan import Action

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from lab.base.errors import LabError
    from lab.engine.spec import NetworkSpec
    from lab.lifecycle.apply import Applier
    from lab.lifecycle.plan import Plan
    from lab.topology.model import Topology

TRIES = 10
"""Each further one needs one more lab that somebody starts at once on another machine."""
CHOICE_S = 30.0
"""For others' choices: each asks the engine some questions and makes two networks."""


def make(
    topology: Topology, distribution: str, steps: Plan, applier: Applier, snapshot: str = ""
) -> Topology:
    """Make missing networks; return the topology with those that it got.

    Processes of this machine choose and make one after the other. No two labs get the same network
    in any case: the engine refuses the second, on whatever machine its halab runs.
    The lab's own network is made last: its label says which management network the lab has. Another
    one names the snapshot that the lab is made from, if any.
    """
    missing = steps.subjects(Action.CREATE_NETWORK)
    if not missing:
        return topology
    engine = f"engine-{digest(str(applier.engine.about.get('ID', '')))}"
    with one_after_another(engine, "networks", CHOICE_S):
        # Since they were chosen, another process may have made its own.
        topology = _chosen(topology, applier, [])
        if labels.management_name(topology.name) in missing:
            topology = _management(topology, distribution, applier)
        if labels.network_name(topology.name) in missing:
            topology = _own(topology, distribution, applier, snapshot)
    # Closed: whoever asks again would take the lab's own networks for somebody else's.
    closed = replace(topology.network, management_open=False, subnet_open=False)
    return replace(topology, network=closed)


def _chosen(topology: Topology, applier: Applier, refused: list[IPv4Network]) -> Topology:
    observed = applier.engine.observe(topology.name)
    return network.settled(topology, applier.engine, observed, refused)


def _management(topology: Topology, distribution: str, applier: Applier) -> Topology:
    refused: list[IPv4Network] = []
    while error := _refusal(desired_state.networks(topology, distribution)[1], applier):
        refused.append(topology.network.management)
        if len(refused) < TRIES and topology.network.management_open:
            topology = _chosen(topology, applier, refused)
        if topology.network.management in refused:  # the file's, or the lab has it already
            raise _explained(error, topology, applier)
    return topology


def _own(topology: Topology, distribution: str, applier: Applier, snapshot: str) -> Topology:
    refused: list[IPv4Network] = []
    while error := _refusal(desired_state.networks(topology, distribution, snapshot)[0], applier):
        refused.append(topology.network.subnet)
        if len(refused) < TRIES and topology.network.subnet_open:
            topology = _chosen(topology, applier, refused)
        if topology.network.subnet in refused:
            applier.take_back()
            raise _explained(error, topology, applier)
    return topology


def _refusal(spec: NetworkSpec, applier: Applier) -> SubnetTaken | None:
    """Make a network; return the engine's refusal of its addresses, None if it is made."""
    try:
        applier.network(spec)
    except SubnetTaken as error:
        return error
    return None


def _explained(error: SubnetTaken, topology: Topology, applier: Applier) -> LabError:
    """Return the better explanation: who has these addresses and what is free; else the error."""
    try:
        there = applier.engine.observe(topology.name).networks
        network.check_subnets(topology, applier.engine, there)
    except InputError as better:
        return better
    return error
