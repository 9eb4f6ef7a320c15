"""From a plan to running machines: what is made, what boots when, what returns without a disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine import fitness
from lab.lifecycle import snapshot_restore
from lab.lifecycle.plan import Action, Plan
from lab.lifecycle.readiness import await_admitting
from lab.lifecycle.rejoin import Rejoin
from lab.live import secret_volume
from lab.nodes import roles
from lab.nodes.handles import handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.engine.client import Engine
    from lab.engine.files import File
    from lab.engine.node import NodeHandle
    from lab.engine.spec import Desired, Observed
    from lab.kube.secrets import Secrets
    from lab.lifecycle.apply import Applier
    from lab.live.snapshots import Snapshot
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Boot:
    """Carries out the part of a plan that ends when all machines run."""

    engine: Engine
    topology: Topology
    distribution: Distribution
    applier: Applier
    observed: Observed
    """What the engine held of the lab when the start began."""
    snapshot: Snapshot | None = None
    """What nodes are made from, with their volumes, if not from their distribution's image."""

    def handle(self, name: str) -> NodeHandle:
        """Return a node of the lab."""
        return handle(self.engine, self.topology.name, self.topology.node(name))

    def require_bridge(self, desired: Desired) -> None:
        """Raise EngineError if the kernel's rules cannot be made to see bridged packets."""
        image = self._image(desired)
        able = fitness.privileged(self.engine, image)
        fitness.require_bridge(self.engine, image, privileged=able)

    def _image(self, desired: Desired) -> str:
        """Return the image that helpers run: the lab's own, which may be older than this halab."""
        own = (container.image for container in self.observed.containers if container.image)
        return next(own, desired.containers[-1].image)

    def make(self, steps: Plan, desired: Desired) -> Secrets | None:
        """Make what is missing on the lab's networks; boot nothing.

        Return the lab's secrets if something boots for the first time: its files need them.
        """
        if not steps.of(Action.CREATE_VOLUME, Action.CREATE, Action.BOOT):
            return None
        image = self._image(desired)
        self.applier.make(Plan(steps.of(Action.CREATE_VOLUME)), desired, privileged=True)
        if self.snapshot and not snapshot_restore.has_nodes(self.observed):
            snapshot_restore.fill(self.topology, self.snapshot, self.distribution, self.applier)
        secrets = secret_volume.ensure(self.engine, self.topology.name, image)
        able = fitness.privileged(self.engine, image)
        self.applier.make(Plan(steps.of(Action.CREATE)), desired, privileged=able)
        return secrets

    def boot(self, steps: Plan, desired: Desired, secrets: Secrets | None) -> None:
        """Power on what the plan names. Raises LabError if a lost disk cannot be made up for."""
        first, again = steps.subjects(Action.BOOT), steps.subjects(Action.START)
        # At once: they know each other, and a majority must run before one has joined.
        self.applier.boot(desired, again, {})
        lost = self._lost(first, steps.subjects(Action.CREATE))
        files = {}
        if secrets is not None:
            files = {name: self._files(name, secrets, lost.get(name)) for name in first}
        waves = self._waves(first)
        for index, wave in enumerate(waves):
            self.applier.boot(desired, wave, files)
            if index + 1 < len(waves):
                self._await(name for name in wave if name not in lost)
        self._settle()

    def _lost(self, first: Iterable[str], made: Iterable[str]) -> dict[str, NodeHandle]:
        masters = tuple(self.handle(node.name) for node in self.topology.masters)
        rejoin = Rejoin(self.distribution, masters, self.applier.reporter, self.applier.cancelled)
        return rejoin.prepare(first, made)

    def _files(
        self, name: str, secrets: Secrets, keeper: NodeHandle | None
    ) -> Callable[[], tuple[File, ...]]:
        """Return what makes a node's files, when it boots: certificates take their time."""

        def files() -> tuple[File, ...]:
            node = self.topology.node(name)
            own = roles.find(node.role).files(self.topology, node, secrets, self.distribution)
            if self.snapshot and node in self.topology.nodes:
                own += snapshot_restore.files(node)
            if keeper is None:
                return own
            joining = self.distribution.rejoining(
                self.topology, node, self.topology.node(keeper.name)
            )
            return tuple({file.path: file for file in (*own, *joining)}.values())

        return files

    def _waves(self, first: tuple[str, ...]) -> list[list[str]]:
        """Return the order of first boots; what is no Kubernetes node waits for none.

        Nodes from a snapshot know each other, and a majority must run before one has joined.
        """
        if self.snapshot:
            return [list(first)]
        waves = [[node.name for node in wave] for wave in self.distribution.waves(self.topology)]
        waves[0] += [self.topology.loadbalancer.name, self.topology.bmc.name]
        booting = [[name for name in wave if name in first] for wave in waves]
        return [wave for wave in booting if wave]

    def _await(self, names: Iterable[str]) -> None:
        """Wait for the Kubernetes nodes among these."""
        known = {node.name for node in self.topology.nodes}
        nodes = [self.handle(name) for name in names if name in known]
        applier = self.applier
        await_admitting(self.distribution, nodes, applier.reporter, applier.cancelled)

    def _settle(self) -> None:
        """Settle at each start, also of one node: a start that failed may have ended before."""
        try:
            self.distribution.settle(self.topology, self.handle)
        except EngineError as error:  # its container may be missing; the next start does it
            name = self.topology.masters[0].name
            self.applier.reporter.say(name, f"does not know the other masters yet: {error.message}")
