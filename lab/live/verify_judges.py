"""The judges of `verify`: each says of a command's output whether all is well. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.wait import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Judge = Callable[[str], Observation]

POD_COLUMNS = 4
"""Of `kubectl get pods -A`: namespace, name, ready containers, status."""


def pod_runs(item: dict[str, Any]) -> bool:
    """Whether a pod's containers are all ready and it has an address."""
    rows = item["status"].get("containerStatuses") or []
    return bool(rows) and all(row["ready"] for row in rows) and bool(item["status"].get("podIP"))


def shorten(text: str) -> str:
    """Return a text's beginning as one line of at most 120 characters."""
    return " ".join(text.split())[:120]


def judge_presence(text: str, expected: Iterable[str]) -> Observation:
    """Whether all the expected words are in the output."""
    expected = list(expected)
    missing = [each for each in expected if each not in text.split()]
    if missing:
        return Observation(ok=False, detail=f"missing: {', '.join(missing)}")
    return Observation(ok=True, detail=", ".join(expected))


def judge_answer(text: str) -> Observation:
    """Whether an API server answered with this HTTP code.

    401 is an answer, too: K3s lets nobody ask without a certificate. By then TLS has proven the
    server's certificate by the lab's authority.
    """
    code = text.strip()
    return Observation(code in {"200", "401"}, f"answers {code or 'nothing'}")


def judge_quorum(text: str) -> Observation:
    """Whether `corosync-quorumtool -s` says `Quorate: Yes`."""
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    quorate, nodes = (rows.get(key, "?").strip() for key in ("Quorate", "Nodes"))
    return Observation(quorate == "Yes", f"quorate: {quorate}, nodes: {nodes}")


def judge_nodes(text: str, names: Iterable[str]) -> Observation:
    """Whether all nodes are Ready by `kubectl get nodes --no-headers`."""
    states = {row.split()[0]: row.split()[1] for row in text.splitlines() if len(row.split()) > 1}
    problems = [
        f"{name} is {states.get(name, 'not registered')}"
        for name in names
        if states.get(name) != "Ready"
    ]
    return Observation(not problems, ", ".join(problems) or f"{len(states)} nodes Ready")


def judge_pods(text: str) -> Observation:
    """Whether all pods run or have completed, by `kubectl get pods -A --no-headers`.

    A pod that runs must have all its containers ready. Pods of an earlier `verify`, which are being
    deleted, do not count.
    """
    problems, count = [], 0
    for row in text.splitlines():
        columns = row.split()[:POD_COLUMNS]
        if len(columns) < POD_COLUMNS or columns[0].startswith("halab-verify-"):
            continue
        count += 1
        namespace, name, containers, state = columns
        ready, _, total = containers.partition("/")
        if state != "Completed" and (state != "Running" or ready != total):
            problems.append(f"{namespace}/{name} is {state} ({containers})")
    return Observation(not problems, ", ".join(problems) or f"{count} pods run")


def judge_members(text: str, names: Iterable[str]) -> Observation:
    """Whether all masters are voters in etcd's list of members.

    K3s adds a suffix to a node's name.
    """
    try:
        members = json.loads(text)["members"]
    except (ValueError, KeyError, TypeError):
        return Observation(ok=False, detail=f"no answer: {shorten(text)}")
    voters = [member.get("name", "") for member in members if not member.get("isLearner")]
    known = {*voters, *(voter.rpartition("-")[0] for voter in voters)}
    others = [name for name in names if name not in known]
    if others:
        return Observation(ok=False, detail=f"no voter: {', '.join(others)}")
    return Observation(ok=True, detail=f"{len(voters)} voters")


@dataclass(slots=True)
class Terms:
    """The judge of all members' terms, one after the other: they must agree on term and leader."""

    first: tuple[int, int] | None = None
    """The term and leader of the first member that was asked."""

    def judge(self, text: str) -> Observation:
        """Whether a member's status has a leader, and agrees with the first one's."""
        try:
            status = json.loads(text)
            term, leader = int(status["raftTerm"]), int(status["leader"])
        except (ValueError, KeyError, TypeError):
            return Observation(ok=False, detail=f"no answer: {shorten(text)}")
        if not leader:
            return Observation(ok=False, detail="knows no leader")
        self.first = self.first or (term, leader)
        detail = f"term {term}, leader {leader:x}"
        if self.first == (term, leader):
            return Observation(ok=True, detail=detail)
        other = f"term {self.first[0]}, leader {self.first[1]:x}"
        return Observation(ok=False, detail=f"{detail}; another member says {other}")
