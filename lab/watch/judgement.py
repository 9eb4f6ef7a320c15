"""A lab's health, with the reason."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from lab.watch.state import STALE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.watch.lab_shape import LabShape
    from lab.watch.state import (
        CorosyncState,
        EtcdState,
        FaultSpan,
        Health,
        NodeState,
        VipState,
    )
    from lab.watch.strip_chart import StripChart

WAYS = ("api.vip", "api.lb")
"""The ways by which users reach the API."""


def judge(
    shape: LabShape,
    chart: StripChart,
    now: float,
    nodes: tuple[NodeState, ...],
    vip: VipState,
    etcd: EtcdState,
    corosync: CorosyncState,
    active: tuple[FaultSpan, ...],
) -> tuple[Health, str]:
    """Return the health and the reason."""
    known = [node for node in nodes if node.machine]
    stopped = [node for node in known if node.machine != "running"]
    if known and len(stopped) == len(nodes):
        return "stopped", "no machine runs"
    ways = [name for name in WAYS if now - chart.last(name) <= STALE_S]
    if ways and all(chart.outage(name, now) is not None for name in ways):
        return "down", "the API answers neither by VIP nor by load balancer"
    reasons = [*_address(vip), *_quorum(etcd, corosync), *_machines(nodes)]
    reasons += [f"{chart.label(name)} is out" for name in ways if chart.outage(name, now)]
    reasons += [f"fault {fault.fault} on {fault.node}" for fault in active]
    if reasons:
        return "degraded", "; ".join(reasons)
    if ways:
        return "healthy", "all is well"
    if known or any(isfinite(chart.last(name)) for name in WAYS):
        return "unknown", "nobody asks the API now"
    return "unknown", f"nothing was heard of lab {shape.name} yet"


def _address(vip: VipState) -> Iterator[str]:
    if vip.holders is not None and not vip.holders:
        yield "nobody answers for the VIP"
    elif vip.holders is not None and len(vip.holders) > 1:
        yield f"{' and '.join(vip.holders)} both answer for the VIP"


def _quorum(etcd: EtcdState, corosync: CorosyncState) -> Iterator[str]:
    if etcd.quorum is False:
        yield "etcd has no quorum"
    elif etcd.quorum and etcd.answering < etcd.members:
        yield f"etcd: {etcd.answering} of {etcd.members} members"
    if len(corosync.partitions) > 1:
        yield f"Corosync is in {len(corosync.partitions)} parts"


def _machines(nodes: tuple[NodeState, ...]) -> Iterator[str]:
    for node in nodes:
        if not node.good and (node.machine or node.kubernetes):
            yield f"{node.name}: {node.word}"
