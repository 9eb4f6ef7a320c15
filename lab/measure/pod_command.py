"""A command in a pod of the user's own: `kubectl://NAMESPACE/POD[/CONTAINER] -- COMMAND`.

The container runtime of the pod's node runs it, not the API's `exec`. That one goes through an API
server and the node's kubelet: while the API is gone, it would show the API's outage as that of the
pod. Where the pod runs is looked up on the nodes, for the same reason. The price: the network
between nodes is not in the answer, so a node that is cut off still answers for its pod.
"""

from __future__ import annotations

import re
import secrets
import shlex
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.commands import Result
    from lab.engine.node import NodeHandle

SCHEME = "kubectl://"
EXAMPLE = "for example kubectl://shop/postgres-0 -- pg_isready -U shop"
NAME = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
"""Names that go into containerd's filter: lower case, digits, dots and dashes (RFC 1123)."""
_SHAPE = re.compile(rf"kubectl://(?P<namespace>{NAME})/(?P<pod>{NAME})(?:/(?P<container>{NAME}))?")
CTR = ("ctr", "-n", "k8s.io")
"""containerd's client and the CRI's namespace: on the nodes of every distribution."""
FIND = """
running=$(ctr -n k8s.io tasks ls 2>/dev/null)
for id in $(ctr -n k8s.io containers ls -q "$1" 2>/dev/null); do
  echo "$running" | grep -q "^$id .*RUNNING" && echo "$id" && exit 0
done
exit 1
"""
"""Print the id of the container that runs and that a filter means. After a restart of a container
the old one is still listed, without a task."""
NOT_THERE = "the pod runs on no node"
SEARCH_S = 2.0
"""Between two searches: each asks every node, for a fifth of a second of a core. When commands
failed on a busy machine and each of them searched, the searches alone took more than it had."""
SEARCH_NODE_S = 10.0
"""For one node's answer to a search: on a busy machine a search that ends late still helps."""
LATE_MOST = 3
"""After so many late commands in a row the pod's node may be frozen, and the pod elsewhere."""
TIMED_OUT = {124, 137}
"""timeout(1)'s exit codes: the second if a command had to be killed."""


@dataclass(frozen=True, slots=True)
class PodCommand:
    """A command, and the container that it runs in."""

    namespace: str
    pod: str
    container: str
    """Empty: the pod's only one, or any of them."""
    argv: tuple[str, ...]

    def filter(self) -> str:
        """Return containerd's filter for the container, by the labels that the CRI gives it."""
        labels = {
            "io.cri-containerd.kind": "container",
            "io.kubernetes.pod.namespace": self.namespace,
            "io.kubernetes.pod.name": self.pod,
        }
        if self.container:
            labels["io.kubernetes.container.name"] = self.container
        return ",".join(f'labels."{name}"=={value}' for name, value in labels.items())

    def text(self) -> str:
        """Return the command as it would be typed."""
        return shlex.join(self.argv)


def is_command(text: str) -> bool:
    """Whether a probe's URL is a command in a pod."""
    return text.startswith(SCHEME)


def parse(text: str) -> PodCommand:
    """Return the command that a text means. Raises InputError."""
    place, _, command = text.partition(" -- ")
    match = _SHAPE.fullmatch(place.strip())
    if not match:
        raise InputError(f"{place}: it is not kubectl://NAMESPACE/POD[/CONTAINER]", EXAMPLE)
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise InputError(f"{text}: {error}", EXAMPLE) from None
    if not argv:
        raise InputError(f"{text}: no command stands behind ` -- `", EXAMPLE)
    return PodCommand(match["namespace"], match["pod"], match["container"] or "", argv)


@dataclass(slots=True)
class PodRuntime:
    """The container runtimes of a lab's nodes, for one pod. It remembers where that pod runs."""

    nodes: Sequence[NodeHandle]
    """In the order in which they are asked for the pod."""
    _place: tuple[NodeHandle, str] | None = None
    _doubted: bool = False
    """Whether the pod may be elsewhere now."""
    _late: int = 0
    """Commands in a row that were not answered in time."""
    _search_at: float = 0.0
    """When it may be looked for again (monotonic clock)."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, command: PodCommand, argv: Sequence[str], timeout_s: float) -> Result:
        """Run a command in the pod's container.

        The pod is looked for again when its container or its node is gone, or when it has been late
        several times. A command that fails by itself is no reason: the pod is there. Raises
        LabError if it runs on no node that answers.
        """
        node, container = self.locate(command)
        exec_id = f"halab-{secrets.token_hex(6)}"
        call = [*CTR, "tasks", "exec", "--exec-id", exec_id, container, *argv]
        try:
            result = node.run(call, timeout_s=timeout_s, check=False)
        except LabError:
            self._doubted = True
            raise
        self._late = self._late + 1 if result.code in TIMED_OUT else 0
        if self._late >= LATE_MOST or _is_refusal(result):
            self._doubted = True
        return result

    def locate(self, command: PodCommand) -> tuple[NodeHandle, str]:
        """Return the pod's node and container. Raises LabError if it runs on no node."""
        with self._lock:  # one search at a time, whose result the others take
            if time.monotonic() >= self._search_at and (self._doubted or not self._place):
                last, self._place = self._place, None
                try:
                    self._place = self._find(command, last)
                finally:
                    self._doubted, self._late = False, 0
                    self._search_at = time.monotonic() + SEARCH_S
            if self._place is None:
                raise LabError(NOT_THERE)
            return self._place

    def _find(
        self, command: PodCommand, last: tuple[NodeHandle, str] | None
    ) -> tuple[NodeHandle, str]:
        """Ask the nodes, first that which had the pod: most pods stay where they are."""
        argv = ["sh", "-c", FIND, "sh", command.filter()]
        first = [last[0]] if last else []
        for node in (*first, *(node for node in self.nodes if node not in first)):
            try:
                result = node.run(argv, timeout_s=SEARCH_NODE_S, check=False)
            except LabError:  # it is off
                continue
            if result.code == 0:
                return node, result.output.split()[-1]
        raise LabError(NOT_THERE)


def _is_refusal(result: Result) -> bool:
    """Whether it was not the command that failed, but containerd's client that could not run it."""
    lines = result.output.splitlines()
    return result.code != 0 and bool(lines) and lines[-1].startswith("ctr: ")
