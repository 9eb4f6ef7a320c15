"""What the instrument asks, in the lab's terms: one file for each question. Pure: topology and secrets → rows of the agent's configuration.

A row with a `question` is a probe and has its `instrument` event; the others (clients that write, read and listen) are seen in `op` and
`watch` events. Rows run in the client container (outside the cluster's nodes, on the lab's network) or in a pod of a node.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from lab.base.errors import InputError
from lab.kube.pki import issue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology

INTERVAL_S = 0.02
"""Between two questions, seconds."""
TIMEOUT_S = 0.5
"""A later answer is none, seconds. Well below a second: an outage of a second must be seen while it lasts, and questions to a server that
is busy must not pile up on it for long (25 of each at most)."""
SPACE = "halab-probe"
"""The namespace of all that the instrument has in the cluster; nothing else lives there."""
LABEL = "halab.probe=operation"
"""On the ConfigMaps that clients write: key=value."""
REGISTERS = ("register-1", "register-2", "register-3")
API, ETCD = "api", "etcd"
"""Identities: whom the agent trusts and who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that the agent does. `settings` are the agent's own words (images/tools/probe/config.go)."""

    name: str
    settings: dict[str, Any]
    question: str = ""
    interval: float = INTERVAL_S
    timeout: float = TIMEOUT_S
    connection: str = "none"
    pod: str = ""
    """The node in whose pod it runs; empty: in the client container."""
    client: bool = False
    """It writes, reads or listens; `name` is the operations' client."""
    probe: str = ""
    """Of a client: the probe whose samples its operations are, too."""

    def agent(self) -> dict[str, Any]:
        """Give it as the agent reads it."""
        more = {"probe": self.probe} if self.probe else {}
        return {"name": self.name, "interval": self.interval, "timeout": self.timeout, "connection": self.connection, **more, **self.settings}

    def instrument(self) -> dict[str, Any]:
        """Give the data of its `instrument` event."""
        words = {"question": self.question, "interval": self.interval, "timeout": self.timeout, "connection": self.connection}
        return {"probe": self.probe or self.name, **words}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What probes are computed from: the topology, and where the test Service is (its address in the cluster, its port on every node)."""

    topology: Topology
    service_ip: str = ""
    node_port: int = 0

    @property
    def pods(self) -> tuple[Node, ...]:
        """The nodes that take workloads: the workers, or all where there are none."""
        return self.topology.workers or self.topology.nodes


class Question(Protocol):
    """One file of this folder."""

    summary: str

    def rows(self, ground: Ground) -> tuple[Row, ...]:
        """Give what the agent does for it."""


def questions() -> dict[str, Question]:
    """The folder is the list: each module's QUESTION, by the module's name."""
    loaded = {module.name: importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)}
    return {name: cast("Question", module.QUESTION) for name, module in loaded.items() if hasattr(module, "QUESTION")}


def rows(ground: Ground, wanted: Iterable[str] | None = None) -> tuple[Row, ...]:
    """Give all rows, or those with these names or under these prefixes (`api.vip` means `api.vip.new`, too).

    Raises InputError for a name that means nothing. What reads back at the end comes along with what writes.
    """
    found = [row for question in questions().values() for row in question.rows(ground)]
    if wanted is None:
        return tuple(found)
    words = list(wanted)
    unknown = [word for word in words if not any(_means(word, row) for row in found)]
    if unknown:
        raise InputError(f"no probe `{unknown[0]}`", f"known: {', '.join(row.name for row in found)}")
    chosen = [row for row in found if any(_means(word, row) for word in words)]
    writes = any(row.client and row.settings["kind"] in {"create", "register"} for row in chosen)
    return tuple(row for row in found if row in chosen or (writes and row.settings["kind"] == "list"))


def _means(word: str, row: Row) -> bool:
    return row.name == word or row.name.startswith(f"{word}.")


@dataclass(frozen=True, slots=True)
class Identities:
    """What the agent proves itself with, as its configuration has it."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)


def identities(secrets: Secrets, distribution: Distribution) -> Identities:
    """Give the administrator's identity for the API, and a client's of etcd's authority: both distributions ask for certificates."""
    admin = distribution.admin(secrets)
    member = issue(secrets.authority("etcd-ca"), "halab-probe")
    trust = {API: (distribution.server_authority(secrets), admin), ETCD: (secrets.files["etcd-ca.crt"], member)}
    return Identities(
        {name: {"ca": ca.decode(), "certificate": own.certificate.decode(), "key": own.key.decode()} for name, (ca, own) in trust.items()}
    )


def configuration(chosen: Iterable[Row], known: Identities | None = None, *, attached: bool = False, output: str = "") -> dict[str, Any]:
    """Give the agent's configuration for these rows."""
    asked = list(chosen)
    return {
        "attached": attached,
        "output": output,
        "identities": known.values if known else {},
        "questions": [row.agent() for row in asked if not row.client],
        "clients": [row.agent() for row in asked if row.client],
    }
