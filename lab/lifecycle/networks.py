"""Makes a lab's networks; a management network that was lost to another lab is chosen anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.errors import SubnetTaken
from lab.engine import labels
from lab.host import network
from lab.lifecycle import desired_state
from lab.lifecycle.plan import Action

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from lab.lifecycle.apply import Applier
    from lab.lifecycle.plan import Plan
    from lab.topology.model import Topology

TRIES = 10
"""Each further one needs one more lab that is begun in the same tenth of a second."""


def make(topology: Topology, distribution: str, steps: Plan, applier: Applier) -> Topology:
    """Make the networks that are missing; give the topology with the management network it got.

    No two labs get the same one: the engine refuses the second, on whatever machine its halab runs.
    The lab's own network is made last, for its label says which management network the lab has.
    """
    missing = steps.subjects(Action.CREATE_NETWORK)
    if labels.management_name(topology.name) in missing:
        topology = _management(topology, distribution, applier)
    own, _ = desired_state.networks(topology, distribution)
    if own.name in missing:
        try:
            applier.network(own)
        except SubnetTaken:
            applier.take_back()
            network.check_subnets(topology, applier.engine, ())  # says who has it, and what is free
            raise
    return topology


def _management(topology: Topology, distribution: str, applier: Applier) -> Topology:
    refused: list[IPv4Network] = []
    while True:
        _, spec = desired_state.networks(topology, distribution)
        try:
            applier.network(spec)
        except SubnetTaken:
            refused.append(topology.network.management)
            if len(refused) == TRIES or not topology.network.management_open:
                raise
            observed = applier.engine.observe(topology.name)
            topology = network.settled(topology, applier.engine, observed, refused)
            if topology.network.management in refused:  # the lab has it already: no other will do
                raise
        else:
            return topology
