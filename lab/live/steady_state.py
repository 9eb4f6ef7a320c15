"""Whether a lab is steady: all nodes Ready, one holder, one leader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.wait import Observation
from lab.live import status

if TYPE_CHECKING:
    from lab.live.lab import Lab


def steady(lab: Lab) -> Observation:
    """Tell whether a lab is whole: every machine runs and is Ready, etcd has a leader and followers, one master holds the VIP, no fault is on."""
    seen = status.look(lab)
    nodes = [row for row in seen.nodes if row.role != "loadbalancer"]
    wrong = [f"{row.name} is {row.state}" for row in seen.nodes if row.state != "running"]
    wrong += [
        f"{row.name} is {row.kubernetes}"
        for row in nodes
        if row.state == "running" and row.kubernetes != "Ready"
    ]
    wrong += [
        f"etcd at {row.name}: {row.etcd}"
        for row in nodes
        if row.role == "master" and row.etcd not in {"leader", "follower"}
    ]
    wrong += [
        f"the API of {row.name} is {row.api}"
        for row in nodes
        if row.role == "master" and row.state == "running" and row.api != "ready"
    ]
    if not seen.etcd_leader:
        wrong.append("etcd has no leader")
    if len(seen.vip_holders) != 1:
        wrong.append(f"the VIP is held by {', '.join(seen.vip_holders) or 'nobody'}")
    wrong += [f"fault on: {fault}" for fault in seen.faults] + list(seen.problems)
    return Observation(ok=not wrong, seen="; ".join(wrong)[:300] or "steady")
