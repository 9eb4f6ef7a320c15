"""When a run's nodes could not answer for their pods, and which addresses Services sent to."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from lab.analysis.history.events import Event, History

SILENCING = {"crash", "power-cut", "stop", "reboot", "hang", "partition", "nic-down"}
"""Faults after which other nodes get no answer from a node's pods."""
FENCED = re.compile(r"(?:targeting(?: node)?|Peer) (\S+)")
"""Whom Pacemaker fenced, in the journal's line."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A node was down or cut off, from `begin` to `end` (seconds since the run began)."""

    node: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class ObserverAnswers:
    """The answers of a probe that looks at the cluster, in order; `ends` are their times."""

    ends: tuple[float, ...]
    answers: tuple[Event, ...]

    def at(self, t: float) -> Event | None:
        """Return the last answer that had come by then."""
        index = bisect_right(self.ends, t)
        return self.answers[index - 1] if index else None


def observer(history: History, probe: str) -> ObserverAnswers:
    """Return the answers of an observing probe."""
    good = [sample for sample in history.samples(probe) if sample.get("ok") is True]
    answers = tuple(sorted(good, key=lambda sample: sample.end))
    return ObserverAnswers(tuple(sample.end for sample in answers), answers)


def silences(history: History) -> tuple[Silence, ...]:
    """Return when nodes were down or cut off: by faults, and because they were fenced.

    How long a fenced node was off, nobody noted: such a silence has no length, and `NodeStates`
    takes it for over when the node's pods answer again.
    """
    faults = history.of("fault")
    spans = []
    for fire in faults:
        if fire.get("action") != "fire" or fire.get("fault") not in SILENCING:
            continue
        ends = (
            event.t
            for event in faults
            if event.get("action") == "healed"
            and event.get("id") == fire.get("id")
            and event.t >= fire.t
        )
        spans.append(Silence(str(fire.get("node")), fire.t, min(ends, default=math.inf)))
    for event in history.of("log", what="fenced"):
        match = FENCED.search(str(event.get("text") or ""))
        if match and not _within(spans, match[1], event.t):
            spans.append(Silence(match[1], event.t, event.t))
    return tuple(sorted(spans, key=lambda silence: silence.begin))


def _within(spans: Iterable[Silence], node: str, t: float) -> bool:
    return any(each.node == node and each.begin <= t <= each.end for each in spans)


@dataclass(frozen=True, slots=True)
class NodeStates:
    """What a history tells of its nodes and of the pods on them."""

    silences: tuple[Silence, ...]
    nodes: ObserverAnswers
    endpoints: ObserverAnswers
    networks: Mapping[str, IPv4Network | IPv6Network]
    """Pods' addresses by node."""
    listed: Mapping[str, float]
    """When an address was first seen among the test Service's endpoints."""
    answered: Mapping[str, tuple[float, ...]]
    """When a pod's address is known to have answered, in order."""

    def node_of(self, endpoint: str) -> str:
        """Return the node that has a pod's address; empty if it is not known."""
        address = ip_address(endpoint)
        return next((name for name, pods in self.networks.items() if address in pods), "")

    def silent(self, node: str, t: float, end: float) -> bool:
        """Whether a node was down, cut off or not ready at `t`, or became so until `end`."""
        inside = any(
            each.node == node and each.begin <= end and t <= each.end for each in self.silences
        )
        return inside or self.not_ready(node, t)

    def dead(self, endpoint: str, t: float, end: float) -> bool:
        """Whether a pod's node was silent, or has been silent and the pod not answered since."""
        node = self.node_of(endpoint)
        if self.silent(node, t, end):
            return True
        before = [each for each in self.silences if each.node == node and each.begin <= t]
        times = self.answered.get(endpoint, ())
        index = bisect_right(times, t)
        last = times[index - 1] if index else -math.inf
        return any(last < each.begin for each in before)

    def not_ready(self, node: str, t: float) -> bool:
        """Whether Kubernetes had called a node not ready."""
        sample = self.nodes.at(t)
        value = sample.get("value") if sample else None
        return isinstance(value, dict) and value.get(node, "Ready") != "Ready"

    def removed(self, endpoint: str, t: float, *, observed: bool) -> bool:
        """Whether a pod was no endpoint of a Service any more.

        `observed`: it is the test Service, whose endpoints are. Else the pod is taken out when its
        node is not ready.
        """
        if self.not_ready(self.node_of(endpoint), t):
            return True
        now = self.endpoints.at(t)
        if not observed or now is None or endpoint in addresses(now):
            return False
        return self.listed.get(endpoint, math.inf) <= t

    def became_not_ready(self, node: str, t: float) -> float | None:
        """Return how long after its last silence until `t` a node was called not ready, seconds.

        None if it was not.
        """
        begins = [each.begin for each in self.silences if each.node == node and each.begin <= t]
        if not begins:
            return None
        begin = max(begins)
        later = self.nodes.ends[bisect_right(self.nodes.ends, begin) :]
        end = next((end for end in later if self.not_ready(node, end)), None)
        return None if end is None else end - begin


def addresses(sample: Event) -> Iterable[str]:
    """Return the endpoints in an answer of the probe `endpoints`."""
    value = sample.get("value")
    return value if isinstance(value, list) else ()
