"""A lab as checks see it: each part is asked for when a check wants it, and once."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.chaos import targets
from lab.lessons import check_names
from lab.lessons.record import Former
from lab.live import active_faults, status
from lab.nodes import etcd

if TYPE_CHECKING:
    from lab.engine.commands import Result
    from lab.lessons.record import LessonProgress
    from lab.live.active_faults import ActiveFault
    from lab.live.lab import Lab
    from lab.live.status import LabStatus, NodeStatus

COMMAND_S = 15.0
"""For one command of a check."""
STRANGER = "error: You must be logged in to the server"
ERROR = re.compile(r"^Error from server(?: \((\w+)\))?: (.*)", re.MULTILINE)
"""How kubectl tells an error that the API answered (k8s.io/kubectl, cmd/util/helpers.go)."""
STATUSES = {
    "Forbidden": "403: who asks may not",
    "NotFound": "404: there is no such object",
    "InternalError": "500: an error of its own",
    "ServiceUnavailable": "503: it cannot serve now",
    "Timeout": "504: what it asked did not answer in time",
}
"""Kubernetes' reason (metav1.StatusReason) → HTTP's status, and what it means."""


@dataclass
class LabView:
    """A lab at one moment. Its answers do not change; look again by making another one."""

    lab: Lab
    progress: LessonProgress
    _lists: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def status(self) -> LabStatus:
        """What `halab status` shows."""
        return status.look(self.lab)

    @cached_property
    def rows(self) -> dict[str, NodeStatus]:
        """The status' rows, by the names of machines."""
        return {row.name: row for row in self.status.nodes}

    @cached_property
    def faults(self) -> tuple[ActiveFault, ...]:
        """The faults that are on."""
        machines = [self.lab.node(node.name) for node in self.lab.topology.machines]
        return active_faults.read(self.lab.engine, machines)

    @cached_property
    def running_masters(self) -> tuple[str, ...]:
        """The masters that run and are not frozen."""
        names = [node.name for node in self.lab.topology.masters]
        return tuple(name for name in names if self.rows[name].state == "running")

    @cached_property
    def term(self) -> int:
        """etcd's term, the highest that a master knows; 0 if none answers."""

        def ask(name: str) -> int:
            client = self.lab.distribution().etcd_client
            try:
                answer = etcd.ask(self.lab.node(name), client, "maintenance/status")
                return int(answer.get("raftTerm", 0))
            except (LabError, ValueError):
                return 0

        with ThreadPoolExecutor(8) as pool:
            return max(pool.map(ask, self.running_masters), default=0)

    def targets(self, listed: str) -> tuple[str, ...]:
        """Return the nodes that a comma-separated list of targets means now.

        Raises LabError if one means none.
        """
        names: list[str] = []
        for target in listed.split(","):
            if target in check_names.OWN:
                names.append(self._own(target))
            else:
                names += targets.resolve_one(target, self.lab.topology, lambda: self.status, 0)
        return tuple(dict.fromkeys(names))

    def _own(self, target: str) -> str:
        former = self.progress.former
        names = {
            check_names.FORMER_HOLDER: former.holder,
            check_names.FORMER_LEADER: former.leader,
            check_names.RUNNING_MASTER: next(iter(self.running_masters), ""),
        }
        if not names[target]:
            raise LabError(f"`{target}` means no node now")
        return names[target]

    def run(self, node: str, command: str) -> Result:
        """Run a shell's command on a node. Raises LabError if the node does not run."""
        argv = ["sh", "-c", command]
        return self.lab.node(node).run(argv, check=False, timeout_s=COMMAND_S)

    def objects(self, path: str) -> Any:  # noqa: ANN401 (JSON)
        """Return what the API has at a path, through a master's own kubectl.

        Raises LabError if no master answers, or none with what was asked.
        """
        if path not in self._lists:
            self._lists[path] = self._ask_masters(f"kubectl get --raw '{path}'")
        return self._lists[path]

    def _ask_masters(self, command: str) -> Any:  # noqa: ANN401 (JSON)
        silent, answered = "no master runs", ""
        for name in self.running_masters:
            result = self.run(name, command)
            if result.code == 0:
                return _json(name, result.output)
            if error := error_answered(result.output):
                answered = f"the API at {name} answers {error}"
            else:
                silent = (result.output.strip() or "nothing").splitlines()[-1]
        raise LabError(answered or f"the API cannot be asked: {silent}")


def error_answered(output: str) -> str:
    """Return which error an API answered, by what kubectl printed; "" if it did not answer."""
    if STRANGER in output:
        return "401: it does not know who asks"
    error = ERROR.search(output)
    return STATUSES.get(error[1], f"with an error: {error[2]}") if error else ""


def _json(name: str, output: str) -> Any:  # noqa: ANN401 (JSON)
    try:
        return json.loads(output)
    except ValueError:
        raise LabError(f"the API at {name} answers with what is no JSON") from None


def former(view: LabView) -> Former:
    """Return who does what in a lab, if it is whole; else who did before."""
    now = view.status
    whole = len(now.vip_holders) == 1 and bool(now.etcd_leader) and not now.faults
    if not whole or any(row.state != "running" for row in now.nodes):
        return view.progress.former
    return Former(holder=now.vip_holders[0], leader=now.etcd_leader, term=view.term)
