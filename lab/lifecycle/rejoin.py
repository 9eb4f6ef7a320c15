"""Masters whose disks are gone join the cluster of the other masters again.

Booted as for the first time, such a master would found a second cluster beside the first (K3s), be
refused for its name, or vouch for entries that it no longer has (etcd ends: "tocommit is out of
range").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab.base.errors import LabError, WaitTimeout
from lab.base.wait import Observation, until
from lab.nodes import etcd

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from lab.base.progress import Reporter
    from lab.engine.node import NodeHandle
    from lab.nodes.distributions import Distribution
    from lab.nodes.etcd import Member

QUORUM_S = 240
"""Until the other masters' etcd agree: just powered on they take 5 to 15 s, on busy hosts more."""
ADMIT_S = 120
"""Until etcd lets a member leave or join: the others must have been in touch for 5 s
(HealthInterval)."""


@dataclass(frozen=True, slots=True)
class Rejoin:
    """Finds masters that lost their disks, and makes room for them in the others' etcd."""

    distribution: Distribution
    masters: tuple[NodeHandle, ...]
    reporter: Reporter
    cancelled: threading.Event

    def prepare(self, first: Iterable[str], made: Iterable[str]) -> dict[str, NodeHandle]:
        """Return the masters that lost their disks, each with the master that it joins by.

        The others' etcd expects them. `first` boot for the first time as far as their containers
        know, `made` were made by this run. Raises LabError if a disk is lost and the others have no
        quorum.
        """
        fresh = set(first)
        mine = [node for node in self.masters if node.name in fresh]
        if not mine:
            return {}
        others = [node for node in self.masters if node.name not in fresh and node.exists]
        keepers = [node for node in others if self._data(node)]
        lost = [node for node in mine if not self._data(node)] if keepers else []
        if not lost:
            return {}
        rebuilt = {node.name for node in lost} & set(made)
        if not rebuilt and len(keepers) <= len(self.masters) // 2:
            return {}  # an interrupted first start: those that ran know of the others
        keeper, known = self._agreed(keepers, lost)
        for node in lost:
            self._admit(keeper, node, [member for member in known if node.ip in member.hosts])
        return {node.name: keeper for node in lost}

    def _data(self, node: NodeHandle) -> bool:
        return node.has(self.distribution.datastore)

    def _agreed(
        self, keepers: list[NodeHandle], lost: list[NodeHandle]
    ) -> tuple[NodeHandle, tuple[Member, ...]]:
        """Return a master whose etcd has quorum, and the members that it counts."""
        agreed: list[tuple[NodeHandle, tuple[Member, ...]]] = []

        def report(answer: str) -> None:
            for node in lost:
                self.reporter.say(node.name, f"has lost its disk; the others' etcd: {answer}")

        # A machine that nobody powers on does not come while we wait.
        wait_s = QUORUM_S if any(node.running for node in keepers) else 0
        try:
            until(
                "the other masters' etcd agree",
                partial(self._ask, keepers, agreed),
                timeout_s=wait_s,
                on_change=report,
                cancelled=self.cancelled,
            )
        except WaitTimeout as error:
            lab, names = lost[0].lab, ", ".join(node.name for node in lost)
            raise LabError(
                f"{names} of lab {lab} lost the disk and can only join the other masters again, "
                f"whose etcd has no quorum ({error.last}); {names} was not booted",
                "start the other masters first; if most masters' disks are gone, "
                f"so is the cluster: `halab destroy {lab}`, then start again",
            ) from error
        return agreed[-1]

    def _ask(
        self, keepers: list[NodeHandle], agreed: list[tuple[NodeHandle, tuple[Member, ...]]]
    ) -> Observation:
        """Ask for etcd's members; append the first master that knows them to `agreed`."""
        detail = "no other master runs"
        for node in keepers:
            if not node.running:
                continue
            try:
                agreed.append((node, etcd.members(node, self.distribution.etcd_client)))
            except LabError as error:
                detail = error.message
            else:
                return Observation(ok=True, detail="agreed")
        return Observation(ok=False, detail=detail)

    def _admit(self, keeper: NodeHandle, node: NodeHandle, former: list[Member]) -> None:
        client = self.distribution.etcd_client
        for member in former:
            gone = partial(etcd.remove, keeper, client, member)
            self._patiently(node, "leaves etcd", gone, already="member not found")
        if not self.distribution.joins_itself:
            here = partial(etcd.add, keeper, client, node.ip)
            self._patiently(node, "enters etcd", here, already="already exists")
        self.reporter.say(node.name, f"has lost its disk: joins {keeper.name}'s cluster again")

    def _patiently(
        self, node: NodeHandle, what: str, do: Callable[[], None], *, already: str
    ) -> None:
        """Try until etcd agrees: it refuses until the others have been in touch for long enough.

        `already` is how etcd says that it was done before: an answer may have been lost.
        """

        def once() -> Observation:
            try:
                do()
            except LabError as error:
                return Observation(ok=already in error.message, detail=error.message)
            return Observation(ok=True, detail="done")

        until(
            f"{node.name}, whose disk is lost, {what}",
            once,
            timeout_s=ADMIT_S,
            on_change=lambda answer: self.reporter.say(node.name, answer),
            cancelled=self.cancelled,
        )
