"""What `verify` thinks of an answer: pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.wait import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Judge = Callable[[str], Observation]


def _runs(item: dict[str, Any]) -> bool:
    rows = item["status"].get("containerStatuses") or []
    return bool(rows) and all(row["ready"] for row in rows) and bool(item["status"].get("podIP"))


def _shorten(text: str) -> str:
    return " ".join(text.split())[:120]


def judge_words(text: str, wanted: Iterable[str]) -> Observation:
    """All the wanted words are there."""
    gone = [word for word in wanted if word not in text.split()]
    return Observation(not gone, f"missing: {', '.join(gone)}" if gone else ", ".join(wanted))


def judge_answer(text: str) -> Observation:
    """An HTTP code that an API server gives. 401, too: K3s lets nobody ask without a certificate; TLS with the lab's authority is proven."""
    code = text.strip()
    return Observation(code in {"200", "401"}, f"answers {code or 'nothing'}")


def judge_quorum(text: str) -> Observation:
    """`corosync-quorumtool -s` says Quorate: Yes."""
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    quorate, nodes = (rows.get(key, "?").strip() for key in ("Quorate", "Nodes"))
    return Observation(quorate == "Yes", f"quorate: {quorate}, nodes: {nodes}")


def judge_nodes(text: str, names: Iterable[str]) -> Observation:
    """Every node of `kubectl get nodes --no-headers` is Ready, and all are there."""
    rows = {row.split()[0]: row.split()[1] for row in text.splitlines() if len(row.split()) > 1}
    wrong = [
        f"{name} is {rows.get(name, 'not registered')}"
        for name in names
        if rows.get(name) != "Ready"
    ]
    return Observation(not wrong, ", ".join(wrong) or f"{len(rows)} nodes Ready")


def judge_pods(text: str) -> Observation:
    """Every pod of `kubectl get pods -A --no-headers` runs with all its containers ready, or has completed."""
    wrong, count = [], 0
    for row in text.splitlines():
        words = row.split()
        if len(words) < 4 or words[0].startswith("halab-verify-"):  # noqa: PLR2004 (namespace, name, ready, status); an earlier look's pods go
            continue
        count += 1
        ready, _, all_ = words[2].partition("/")
        if words[3] != "Completed" and (words[3] != "Running" or ready != all_):
            wrong.append(f"{words[0]}/{words[1]} is {words[3]} ({words[2]})")
    return Observation(not wrong, ", ".join(wrong) or f"{count} pods run")


def judge_members(text: str, names: Iterable[str]) -> Observation:
    """Every master is a voter in etcd's list of members. K3s adds a suffix to a node's name."""
    try:
        members = json.loads(text)["members"]
    except (ValueError, KeyError, TypeError):
        return Observation(ok=False, detail=f"no answer: {_shorten(text)}")
    voters = [member.get("name", "") for member in members if not member.get("isLearner")]
    gone = [
        name
        for name in names
        if not any(name in {voter, voter.rpartition("-")[0]} for voter in voters)
    ]
    return Observation(
        not gone, f"no voter: {', '.join(gone)}" if gone else f"{len(voters)} voters"
    )


@dataclass(slots=True)
class Terms:
    """What the members say one after the other: all must know the same leader in the same term."""

    first: tuple[int, str] | None = None

    def judge(self, text: str) -> Observation:
        """Judge a member's status."""
        try:
            found = json.loads(text)
            term, leader = int(found["raftTerm"]), str(found["leader"])
        except (ValueError, KeyError, TypeError):
            return Observation(ok=False, detail=f"no answer: {_shorten(text)}")
        if leader == "0":
            return Observation(ok=False, detail="knows no leader")
        self.first = self.first or (term, leader)
        if self.first != (term, leader):
            other = f"term {self.first[0]}, leader {int(self.first[1]):x}"
            return Observation(
                ok=False, detail=f"term {term}, leader {int(leader):x}; another member says {other}"
            )
        return Observation(ok=True, detail=f"term {term}, leader {int(leader):x}")
