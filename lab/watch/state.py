"""What a watch shows, as plain values: the contract between the reducer and all that draw.

Times are seconds since the watch (or the run) began, on one clock; durations are seconds. A value
that nobody could tell is None or "", and is drawn as unknown, never as good or bad.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

OK, SLOW, FAILED, UNSAMPLED = "o", "s", "f", "u"
"""A strip's cells: all samples good; one was good but late; one failed; nobody sampled."""
STALE_S = 5.0
"""What nobody has confirmed for so long is unknown."""
Health = Literal["healthy", "degraded", "down", "stopped", "unknown"]
"""All is well; users are served but something is lost; the API answers nobody; no
machine of the lab runs; nobody asks the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One row of the strip chart: what one probe saw in the window."""

    name: str
    """The probe's: `api.vip.new`."""
    label: str
    """For people: `API by VIP`."""
    cells: str
    """One letter a cell, the oldest first: OK, SLOW, FAILED, UNSAMPLED. The worst sample in it."""
    interval: float
    """Of the probe, seconds: no duration of this row is known better."""
    outage: float | None
    """How long the outage that runs now has lasted; None if none runs, or nobody samples."""
    longest: float
    """The longest outage since the watch began, the one that runs included; 0 for none."""
    question: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpan:
    """One fault on one node: the shade behind the strips."""

    id: str
    fault: str
    node: str
    begin: float
    end: float | None
    """When it was healed; None: it is active."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VipState:
    """Who answers for the floating address."""

    address: str
    holders: tuple[str, ...] | None
    """0, 1 or 2 names; None: nobody looks."""
    since: float | None
    """Since when it is so."""
    before: tuple[str, ...] = ()
    """Who answered before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMember:
    """One member of etcd, by what it says of itself."""

    name: str
    state: Literal["leader", "follower", "no answer", "unknown"]
    term: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdState:
    """etcd as its members say."""

    leader: str
    """A master's name, or "" for none."""
    term: int | None
    """The highest that a member reported."""
    since: float | None
    """Since when this leader leads (or none does)."""
    answering: int
    """Members that answer."""
    members: int
    """All that the topology has."""
    quorum: bool | None
    """Whether a member leads and more than half of all answer; None: unknown."""
    rows: tuple[EtcdMember, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CorosyncState:
    """Corosync and Pacemaker as the masters that answer say."""

    partitions: tuple[tuple[str, ...], ...]
    """The groups of masters that see each other; one is normal, none: nobody answers."""
    quorate: tuple[tuple[str, ...], ...]
    """Those partitions that have quorum."""
    dc: str
    """Pacemaker's designated controller, or ""."""
    fencing: tuple[str, ...]
    """The masters whose power is being cut now."""
    last_fenced: str
    last_fenced_at: float | None
    last_result: str
    """`OK`, or what Pacemaker says; "" if nobody was fenced."""
    since: float | None
    """Since when the partitions are as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One machine, with all that is known of it side by side."""

    name: str
    role: str
    machine: str
    """The engine's term: running, paused, exited, missing; "" if the engine does not answer."""
    power: str
    """What its baseboard controller says: on, off, no answer; ""."""
    kubernetes: str
    """What Kubernetes says: Ready, NotReady; "" while nobody can be asked."""
    word: str
    """All of it in a few words: `Ready`, `says Ready but is off`, `NotReady, off`, `frozen`."""
    good: bool
    since: float | None
    """Since when `word` is so."""
    not_ready_in: float | None
    """Kubernetes will call it NotReady in so many seconds; None: no countdown runs."""
    pods_move_in: float | None
    """Its pods will be evicted in so many seconds; None: no countdown runs."""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """A pod on a node that is in trouble, or one that is not ready elsewhere."""

    name: str
    namespace: str
    node: str
    state: str
    """`Ready`, `not ready`, `terminating`, or the phase."""


def pod_state(phase: str, *, ready: bool, deleting: bool) -> str:
    """Return a pod's state; one that has done its work is as good as ready."""
    if deleting:
        return "terminating"
    if phase == "Running":
        return "Ready" if ready else "not ready"
    return "Ready" if phase == "Succeeded" else phase


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeEntry:
    """One event on the tape."""

    t: float
    what: str
    """fault, healed, token-lost, membership, quorum, fencing, fenced, not-fenced, vip-start,
    vip-stop, vip, outage, answer, node, leader, machine, power, step."""
    node: str
    text: str
    resolution: float = 0.0
    """How far the true time may lie from `t`, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """All that is shown, at one moment."""

    lab: str
    source: Literal["live", "replay"]
    now: float
    wall: float
    """POSIX time of `now`."""
    health: Health
    why: str
    """The reason for `health`, in a few words."""
    begin: float
    """When the first cell begins."""
    cell_s: float
    strips: tuple[Strip, ...]
    faults: tuple[FaultSpan, ...]
    """Those that touch the window."""
    outage: str
    """The name of the strip whose outage runs longest now, or ""."""
    longest: str
    """The name of the strip with the longest outage, or ""."""
    vip: VipState
    etcd: EtcdState
    corosync: CorosyncState
    nodes: tuple[NodeState, ...]
    pods: tuple[PodState, ...]
    tape: tuple[TapeEntry, ...]
    """The newest last, at most TAPE of them."""
    measuring: str
    """Who samples: `watch`, `the run's instrument` (in a replay), or "" for nobody."""
    problems: tuple[str, ...]
    """What cannot be asked now, and why."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON; keys are the fields' names."""
        return asdict(self)


TAPE = 200
"""Older events are dropped from the state; a history keeps them."""
