"""Conditions of a lab that are waited for: whole again, a loss noticed, a quorum.

They look and never act. An observation's detail says what is still wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.wait import Observation
from lab.live import status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.live.lab import Lab
    from lab.live.status import LabStatus, NodeStatus


def steady(lab: Lab) -> Observation:
    """Whether a lab is whole.

    Every machine runs and is Ready, also that of the BMCs; etcd has a leader and followers, exactly
    one master holds the VIP, and no fault is active.
    """
    now = status.look(lab)
    problems = [f"{row.name} is {row.state}" for row in now.nodes if row.state != "running"]
    if now.bmc != "running":
        problems.append(f"{lab.topology.bmc.name} is {now.bmc}")
    for row in _nodes(now):
        problems += _problems(row)
    if not now.etcd_leader:
        problems.append("etcd has no leader")
    if len(now.vip_holders) != 1:
        problems.append(f"the VIP is held by {', '.join(now.vip_holders) or 'nobody'}")
    problems += [f"active fault: {fault}" for fault in now.faults]
    problems += now.problems
    return Observation(ok=not problems, detail="; ".join(problems)[:300] or "steady")


def _problems(row: NodeStatus) -> Iterator[str]:
    running, master = row.state == "running", row.role == "master"
    if running and row.kubernetes != "Ready":
        yield f"{row.name} is {row.kubernetes}"
    if master and row.etcd not in {"leader", "follower"}:
        yield f"etcd at {row.name}: {row.etcd}"
    if master and running and row.api != "ready":
        yield f"the API of {row.name} is {row.api}"


def all_ready(lab: Lab) -> Observation:
    """Whether every node that runs is Ready."""
    rows = [row for row in _nodes(status.look(lab)) if row.state == "running"]
    others = [f"{row.name} is {row.kubernetes}" for row in rows if row.kubernetes != "Ready"]
    return Observation(ok=not others, detail=", ".join(others) or f"{len(rows)} nodes Ready")


def losses_noticed(lab: Lab) -> Observation:
    """Whether Kubernetes has noticed that the nodes that do not run are lost."""
    rows = [row for row in _nodes(status.look(lab)) if row.state != "running"]
    unnoticed = [row.name for row in rows if row.kubernetes != "NotReady"]
    if unnoticed:
        return Observation(ok=False, detail=f"still thought to run: {', '.join(unnoticed)}")
    return Observation(ok=True, detail=f"{len(rows)} nodes NotReady")


def one_vip_holder(lab: Lab) -> Observation:
    """Whether exactly one master holds the VIP."""
    holders = status.look(lab).vip_holders
    return Observation(ok=len(holders) == 1, detail=f"vip_holders: {holders or 'none'}")


def quorum(lab: Lab) -> Observation:
    """Whether etcd has a leader."""
    leader = status.look(lab).etcd_leader
    return Observation(ok=bool(leader), detail=f"etcd_leader: {leader or 'none'}")


def no_quorum(lab: Lab) -> Observation:
    """Whether etcd has no leader."""
    leader = status.look(lab).etcd_leader
    return Observation(ok=not leader, detail=f"etcd_leader: {leader or 'none'}")


def _nodes(now: LabStatus) -> list[NodeStatus]:
    """Return Kubernetes' nodes: all machines but the load balancer."""
    return [row for row in now.nodes if row.role != "loadbalancer"]
