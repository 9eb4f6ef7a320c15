"""A master's own etcd, asked on that master by its JSON gateway, which all distributions have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab.base.errors import LabError

if TYPE_CHECKING:
    from lab.engine.node import NodeHandle
    from lab.nodes.distributions import Client

PEER_PORT = 2380
ANSWER_S = 5
"""For one answer. etcd answers in milliseconds; without a leader it says so after its own 7 s."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an etcd cluster. One that was added and never ran has no name yet."""

    id: str
    name: str
    hosts: tuple[str, ...]
    """The hosts of its peer URLs."""


def ask(node: NodeHandle, client: Client, call: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 (JSON)
    """Ask a master's own etcd; return the decoded JSON. `call` is the path below /v3/.

    Raises LabError if it does not answer, answers no JSON, or refuses.
    """
    tls = ["--cacert", client.ca, "--cert", client.certificate, "--key", client.key]
    data = json.dumps(body or {})
    url = f"https://127.0.0.1:{client.port}/v3/{call}"
    argv = ["curl", "-sS", "--max-time", str(ANSWER_S), *tls, "-d", data, url]
    result = node.run(argv, check=False, timeout_s=ANSWER_S + 5)
    if result.code != 0:
        raise LabError(f"the etcd of {node.name} does not answer")
    return _read(node, result.output)


def _read(node: NodeHandle, text: str) -> Any:  # noqa: ANN401 (JSON)
    try:
        answer = json.loads(text)
    except ValueError:
        raise LabError(f"the etcd of {node.name} answers no JSON: {text[:100]}") from None
    if isinstance(answer, dict) and (problem := answer.get("message") or answer.get("error")):
        raise LabError(f"the etcd of {node.name} says: {problem}")
    return answer


def voter(node: NodeHandle, client: Client) -> tuple[bool, str]:
    """Return whether a master's etcd votes in a cluster that has a leader, and the detail as text.

    Raises LabError, as `ask` does.
    """
    status = ask(node, client, "maintenance/status")
    if status.get("isLearner"):
        return False, "learner of etcd, waits for its promotion"
    # 64-bit numbers are text in JSON, and 0 is left out.
    if not int(status.get("leader", "0")):
        return False, "its etcd has no leader yet"
    return True, "a voter of etcd"


def members(node: NodeHandle, client: Client) -> tuple[Member, ...]:
    """Return the cluster's members as its quorum has them. Raises LabError without a quorum."""
    rows = ask(node, client, "cluster/member/list", {"linearizable": True})["members"]
    return tuple(
        Member(
            id=str(row["ID"]),
            name=row.get("name", ""),
            hosts=tuple(urlsplit(url).hostname or "" for url in row.get("peerURLs", [])),
        )
        for row in rows
    )


def remove(node: NodeHandle, client: Client, member: Member) -> None:
    """Remove a member from the cluster. Raises LabError if etcd refuses."""
    ask(node, client, "cluster/member/remove", {"ID": member.id})


def add(node: NodeHandle, client: Client, ip: str) -> None:
    """Add a member that will run at this address. Raises LabError if etcd refuses."""
    ask(node, client, "cluster/member/add", {"peerURLs": [f"https://{ip}:{PEER_PORT}"]})
