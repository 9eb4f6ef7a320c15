"""What the masters say of each other: Corosync's partitions, fencing, etcd's leader and term."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lab.watch.state import STALE_S, CorosyncState, EtcdMember, EtcdState

if TYPE_CHECKING:
    from lab.analysis.history.events import Event
    from lab.watch.lab_shape import LabShape

FENCING_S = 120.0
"""Nobody waits longer for a fencing: twice Pacemaker's own time-out (stonith-timeout, 60 s). Its
result may be on a machine that is gone."""
SETTLE_S = 0.5
"""Masters learn of a new membership one after the other; until then they seem to disagree."""
CHANGE = re.compile(r"(joined|left): ([\d ]+)")
FORMED = "was formed"
TARGET = re.compile(r"(?:targeting(?: node)?|of node|Peer) (\S+)")
RESULT = re.compile(r": ([^:|]+?)(?: \([^)]*\))?(?: \|.*)?$")


@dataclass(slots=True)
class Membership:
    """Each master's view of who is in its cluster, and whose power is being cut."""

    shape: LabShape
    dc: str = ""
    views: dict[str, frozenset[str]] = field(default_factory=dict)
    """Master → whom it counts as members; only masters that speak."""
    since: float | None = None
    fencing: dict[str, float] = field(default_factory=dict)
    """Whose power is being cut, and when that was asked for last."""
    fenced: dict[str, float] = field(default_factory=dict)
    """When a fencing of each ended last."""
    last: tuple[str, float, str] | None = None
    """Who was fenced last, when, and with which result."""

    def assume_whole(self, t: float) -> None:
        """Begin with all masters in one cluster: a scenario begins with a steady lab."""
        for node in self.shape.masters:
            self._change(t, node, frozenset(self.shape.masters))

    def take(self, t: float, node: str, members: tuple[str, ...]) -> None:
        """Take in a master's own list of members."""
        self._change(t, node, frozenset(members))

    def silence(self, t: float, node: str) -> None:
        """Note that a master does not speak: it is in no partition."""
        if node in self.views:
            del self.views[node]
            self.since = t

    def _change(self, t: float, node: str, members: frozenset[str]) -> None:
        for joined in members - self.views.get(node, members):
            if self.fencing.get(joined, t) < t:  # it is back: its fencing is over
                del self.fencing[joined]
        if self.views.get(node) != members:
            self.views[node] = members
            self.since = t

    def take_log(self, event: Event) -> None:
        """Take in a journal's line: of Corosync's membership, or of fencing."""
        what, node = event.get("what"), str(event.get("node") or "")
        text = str(event.get("text") or "")
        target = TARGET.search(text)
        if what == "membership" and FORMED in text:
            self._formed(event.t, node, text)
        elif what == "fencing" and target:
            self._fencing(event.t, target[1])
        elif what in {"fenced", "not-fenced"} and target:
            self._fenced(event, target[1], text)

    def _formed(self, t: float, node: str, text: str) -> None:
        masters = self.shape.masters
        before = self.views.get(node, frozenset())
        members = set(before)
        for verb, numbers in CHANGE.findall(text):
            names = {masters[int(n) - 1] for n in numbers.split() if 0 < int(n) <= len(masters)}
            members = members | names if verb == "joined" else members - names
        self._change(t, node, frozenset(members | {node}))

    def _fencing(self, t: float, target: str) -> None:
        # Masters' journals come one after the other: a result may be heard before its request.
        if t > self.fenced.get(target, float("-inf")):
            self.fencing[target] = max(t, self.fencing.get(target, t))

    def _fenced(self, event: Event, target: str, text: str) -> None:
        match = RESULT.search(text)
        self.fenced[target] = max(event.t, self.fenced.get(target, event.t))
        if self.fencing.get(target, event.t) <= event.t:
            self.fencing.pop(target, None)
        result = match[1] if match else "OK"
        if self.last is None or self.last[0] != target or event.t - self.last[1] > SETTLE_S:
            self.last = (target, event.t, result)
        if event.get("what") == "fenced":
            self.silence(event.t, target)

    def _partitions(self) -> set[tuple[str, ...]]:
        """Return the groups that see each other, each with the silent masters that it counts."""
        groups = set()
        for node, view in self.views.items():
            mutual = {other for other in view if node in self.views.get(other, frozenset())}
            peers = mutual | {node}
            counted = frozenset.intersection(*(self.views[peer] for peer in peers))
            silent = {other for other in counted if other not in self.views}
            groups.add(tuple(sorted(peers | silent)))
        return groups

    def state(self, now: float) -> CorosyncState:
        """Return it as it is shown."""
        groups = sorted(self._partitions())
        need = len(self.shape.masters) // 2 + 1
        name, at, result = self.last or ("", None, "")
        return CorosyncState(
            partitions=tuple(groups),
            quorate=tuple(group for group in groups if len(group) >= need),
            dc=self.dc if self.dc in self.views else "",
            fencing=tuple(
                node for node, begun in self.fencing.items() if begun <= now <= begun + FENCING_S
            ),
            last_fenced=name,
            last_fenced_at=at,
            last_result=result,
            since=self.since,
        )


@dataclass(slots=True)
class Quorum:
    """What etcd's members say of themselves."""

    shape: LabShape
    leader: str = ""
    term: int | None = None
    since: float | None = None
    _members: dict[str, tuple[float, bool, int | None, bool]] = field(default_factory=dict)
    """Master → when it was asked, whether it answered, its term, whether it leads."""

    def feed(self, event: Event, node: str) -> str:
        """Take in a member's answer; return what changed for the tape, or ""."""
        if event.get("ok") is None:
            return ""
        value = event.get("value")
        status = value if event.get("ok") is True and isinstance(value, dict) else {}
        term = status.get("term")
        known = term if isinstance(term, int) else None
        leads = status.get("leader") is True
        self._members[node] = (event.end, bool(status), known, leads)
        if known is not None and (self.term is None or known > self.term):
            self.term = known
        return self._changed(event.t)

    def _changed(self, t: float) -> str:
        leaders = [
            (term or 0, node)
            for node, (_, answers, term, leads) in self._members.items()
            if answers and leads
        ]
        leader = max(leaders)[1] if leaders else ""
        if leader == self.leader:
            return ""
        known, self.leader, self.since = self.since is not None or self.leader, leader, t
        if not known:
            return ""
        return f"etcd's leader is {leader}, term {self.term}" if leader else "etcd has no leader"

    def state(self, now: float) -> EtcdState:
        """Return it as it is shown."""
        masters = self.shape.masters or tuple(sorted(self._members))
        rows = tuple(self._row(node, now) for node in masters)
        answering = sum(row.state in {"leader", "follower"} for row in rows)
        asked = any(row.state != "unknown" for row in rows)
        leader = next((row.name for row in rows if row.state == "leader"), "")
        return EtcdState(
            leader=leader,
            term=self.term,
            since=self.since,
            answering=answering,
            members=len(masters),
            quorum=bool(leader) and answering * 2 > len(masters) if asked else None,
            rows=rows,
        )

    def _row(self, node: str, now: float) -> EtcdMember:
        at, answers, term, leads = self._members.get(node, (float("-inf"), False, None, False))
        state: Literal["leader", "follower", "no answer", "unknown"] = "no answer"
        if now - at > STALE_S:
            state = "unknown"
        elif answers:
            state = "leader" if leads else "follower"
        return EtcdMember(name=node, state=state, term=term)
