"""From a plan to running machines: who is made, who boots when, who comes back without its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.engine import fitness
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
    from lab.kube.pki import Secrets
    from lab.lifecycle.apply import Applier
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

    def handle(self, name: str) -> NodeHandle:
        """Return a node of the lab."""
        return handle(self.engine, self.topology.name, self.topology.node(name))

    def require_bridge(self, wanted: Desired) -> None:
        """Raise EngineError where the kernel's rules cannot be made to see bridged packets."""
        image = self._image(wanted)
        able = fitness.privileged(self.engine, image)
        fitness.require_bridge(self.engine, image, privileged=able)

    def _image(self, wanted: Desired) -> str:
        """Return what helpers run: an image of the lab's own, which may be older than this halab."""
        own = (container.image for container in self.observed.containers if container.image)
        return next(own, wanted.containers[-1].image)

    def make(self, steps: Plan, wanted: Desired) -> Secrets | None:
        """Make what is missing on the lab's networks, boot nothing.

        Return the lab's secrets where something boots for the first time: its files are made of
        them.
        """
        if not steps.of(Action.CREATE_VOLUME, Action.CREATE, Action.BOOT):
            return None
        image = self._image(wanted)
        self.applier.make(Plan(steps.of(Action.CREATE_VOLUME)), wanted, privileged=True)
        secrets = secret_volume.ensure(self.engine, self.topology.name, image)
        able = fitness.privileged(self.engine, image)
        self.applier.make(Plan(steps.of(Action.CREATE)), wanted, privileged=able)
        return secrets

    def boot(self, steps: Plan, wanted: Desired, secrets: Secrets | None) -> None:
        """Power on what the plan names. Raises LabError where a lost disk cannot be made up for."""
        first, again = steps.subjects(Action.BOOT), steps.subjects(Action.START)
        # At once: they know each other, and a majority must run before one has joined.
        self.applier.boot(wanted, again, {})
        lost = self._lost(first, steps.subjects(Action.CREATE))
        files = {}
        if secrets is not None:
            files = {name: self._files(name, secrets, lost.get(name)) for name in first}
        waves = self._waves(first)
        for index, wave in enumerate(waves):
            self.applier.boot(wanted, wave, files)
            if index + 1 < len(waves):
                self._await(name for name in wave if name not in lost)
        self._settle()

    def _lost(self, first: Iterable[str], made: Iterable[str]) -> dict[str, NodeHandle]:
        masters = tuple(self.handle(node.name) for node in self.topology.masters)
        hand = Rejoin(self.distribution, masters, self.applier.reporter, self.applier.cancelled)
        return hand.prepare(first, made)

    def _files(
        self, name: str, secrets: Secrets, keeper: NodeHandle | None
    ) -> Callable[[], tuple[File, ...]]:
        """Return what makes a node's files: when it boots, for certificates take their time."""

        def files() -> tuple[File, ...]:
            node = self.topology.node(name)
            found = roles.find(node.role).files(self.topology, node, secrets, self.distribution)
            if keeper is None:
                return found
            other = self.distribution.rejoining(
                self.topology, node, self.topology.node(keeper.name)
            )
            return tuple({file.path: file for file in (*found, *other)}.values())

        return files

    def _waves(self, first: tuple[str, ...]) -> list[list[str]]:
        """Return the order of first boots; what is no Kubernetes node waits for nobody."""
        waves = [[node.name for node in wave] for wave in self.distribution.waves(self.topology)]
        waves[0] += [self.topology.loadbalancer.name, self.topology.bmc.name]
        found = [[name for name in wave if name in first] for wave in waves]
        return [wave for wave in found if wave]

    def _await(self, names: Iterable[str]) -> None:
        """Wait for the Kubernetes nodes among these."""
        known = {node.name for node in self.topology.nodes}
        nodes = [self.handle(name) for name in names if name in known]
        hand = self.applier
        await_admitting(self.distribution, nodes, hand.reporter, hand.cancelled)

    def _settle(self) -> None:
        """At each start, also of one node: a start that failed may have ended before it."""
        try:
            self.distribution.settle(self.topology, self.handle)
        except EngineError as error:  # its container may be missing; the next start tells it
            name = self.topology.masters[0].name
            self.applier.reporter.say(name, f"not told where the others are: {error.message}")
