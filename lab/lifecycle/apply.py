"""Carries out a plan: independent steps side by side, all failures reported.

Nothing is touched that the plan does not name.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab.base.errors import PortTaken
from lab.base.parallel import raise_together
from lab.engine.labels import LABEL_NODE, LABEL_ROLE, LABEL_RUN, container_name
from lab.host import network as hostnetwork
from lab.lifecycle.plan import Action, Plan
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.files import File
    from lab.engine.spec import ContainerSpec, Desired, NetworkSpec

    Files = tuple[File, ...]

WORKERS = 8
"""More engine calls at once only queue inside the engine."""
PORT_TRIES = 20
"""Each further one needs one more port that seems free here and is not where the engine runs."""
STOP_TIMEOUT_S = 10
"""systemd stops a node in two to three seconds; pods that do not end are killed with the node."""


@dataclass(slots=True)
class Applier:
    """Makes things with one run's label, so that ^C can take back what it made and nothing else."""

    engine: Engine
    reporter: Reporter
    run_id: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    _specs: dict[str, tuple[ContainerSpec, bool]] = field(default_factory=dict)
    """By name: what `make` made of each container, and whether privileged. It may be remade."""

    def together(self, do: Callable[[str], None], subjects: Iterable[str]) -> None:
        """Do the same to all subjects, side by side.

        All end before a failure is raised: the one error, or ApplyError with several.
        """

        def unless_cancelled(subject: str) -> None:
            if not self.cancelled.is_set():
                do(subject)

        with ThreadPoolExecutor(WORKERS) as pool:
            futures = [pool.submit(unless_cancelled, subject) for subject in subjects]
            errors = [error for future in futures if (error := future.exception()) is not None]
        raise_together(errors)

    def network(self, spec: NetworkSpec) -> None:
        """Make a network. Raises SubnetTaken if another one has its addresses."""
        self.engine.create_network(spec, {LABEL_RUN: self.run_id})

    def make(self, plan: Plan, desired: Desired, *, privileged: bool) -> None:
        """Make volumes and containers; boots nothing."""
        labels = {LABEL_RUN: self.run_id}
        specs = {spec.labels[LABEL_NODE]: spec for spec in desired.containers}
        self._specs = {spec.name: (spec, privileged) for spec in desired.containers}
        self.together(
            lambda name: self.engine.create_volume(name, {**desired.volumes[name], **labels}),
            plan.subjects(Action.CREATE_VOLUME),
        )
        self.together(
            lambda node: self.engine.create_container(specs[node], labels, privileged=privileged),
            plan.subjects(Action.CREATE),
        )

    def boot(
        self, desired: Desired, nodes: Iterable[str], files: dict[str, Callable[[], Files]]
    ) -> None:
        """Start nodes. Those in `files` boot for the first time and get their files before."""
        specs = {spec.labels[LABEL_NODE]: spec for spec in desired.containers}

        def start(node: str) -> None:
            name = container_name(desired.lab, node)
            self.engine.connect(specs[node])
            if node in files:
                self.reporter.say(node, "laying down files")
                self.engine.put(name, files[node]())
                self._first_start(name, lambda: self.engine.put(name, files[node]()))
            else:
                self._start_again(name)
            self.reporter.say(node, "booting")

        self.together(start, nodes)

    def _first_start(self, name: str, lay_down: Callable[[], None]) -> None:
        """Power on a new machine. If its port has been taken meanwhile, it gets the next one.

        Only the load balancer does: whoever names a node's port means that very one.

        Whether a port is free is asked on this machine. The engine may run on another one; and
        without its userland proxy nobody listens on a port that a container has.
        """
        for left in reversed(range(PORT_TRIES)):
            try:
                self.engine.start(name)
            except PortTaken:
                spec, privileged = self._specs[name]
                if not left or spec.labels[LABEL_ROLE] != Role.LOADBALANCER:
                    raise
                ports = {
                    inside: hostnetwork.free_port(port + 1) for inside, port in spec.ports.items()
                }
                self._specs[name] = replace(spec, ports=ports), privileged
                self.engine.remove_container(name)
                labels = {LABEL_RUN: self.run_id}
                self.engine.create_container(self._specs[name][0], labels, privileged=privileged)
                lay_down()
            else:
                return

    def _start_again(self, name: str) -> None:
        try:
            self.engine.start(name)
        except PortTaken as taken:
            hint = f"end what has the port, or `docker rm {name}` and start: it then gets another"
            raise PortTaken(taken.message, hint) from None

    def stop(self, lab: str, nodes: Iterable[str]) -> None:
        """Shut nodes down, all at once. A paused node is woken first: it could not shut down."""

        def halt(node: str) -> None:
            self.reporter.say(node, "stopping")
            self.engine.unpause(container_name(lab, node))
            self.engine.stop(container_name(lab, node), STOP_TIMEOUT_S)
            self.reporter.done(node, "stopped")

        self.together(halt, nodes)

    def remove(self, plan: Plan) -> None:
        """Remove what a `destroy` plan names: containers, then volumes, then the network."""
        for action, remove in (
            (Action.REMOVE, self.engine.remove_container),
            (Action.REMOVE_VOLUME, self.engine.remove_volume),
            (Action.REMOVE_NETWORK, self.engine.remove_network),
        ):
            self.together(remove, plan.subjects(action))

    def take_back(self) -> int:
        """Remove everything that this run made; return how many things that were. For ^C."""
        containers, volumes, networks = self.engine.labelled(f"{LABEL_RUN}={self.run_id}")
        self.cancelled.clear()
        self.together(self.engine.remove_container, containers)
        self.together(self.engine.remove_volume, volumes)
        self.together(self.engine.remove_network, networks)
        return len(containers) + len(volumes) + len(networks)
