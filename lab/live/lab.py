"""class Lab: everything one can do with a lab, for the command line, for fixtures and for scripts."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.addons.manager import Enabler
from lab.base import names
from lab.base.errors import InputError, LabError
from lab.base.locks import exclusive
from lab.base.progress import Silent
from lab.engine import fitness
from lab.engine.labels import LABEL_DISTRIBUTION, LABEL_NODE
from lab.host import network
from lab.images.builder import Builder
from lab.images.sources import sources_for, tags
from lab.kube.api import Cluster
from lab.lifecycle import desired_state, distribution_choice, networks, plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.boot import Boot
from lab.lifecycle.plan import Action, Plan
from lab.lifecycle.readiness import Readiness
from lab.live import secret_volume
from lab.nodes import distributions
from lab.nodes.handles import handle
from lab.topology.model import KUBERNETES_PORT, Topology, from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.engine.spec import Desired, Observed
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution

START_TIMEOUT_S = 300
"""A 3m3w lab is ready in some 25 s on two cores; ten times that is a machine in trouble, and CI must not hang on it."""


def find(engine: Engine, name: str = "", reporter: Reporter | None = None) -> Lab:
    """Give a lab that the engine holds. Without a name: the only one. Raises InputError that lists what there is."""
    labs = {one: held for one, held in engine.labs().items() if names.is_name(one)}
    if not name and len(labs) == 1:
        name = next(iter(labs))
    if name not in labs or not labs[name].topology:
        known = ", ".join(labs) or "none"
        what = (
            f"there is no lab `{name}`" if name else "no lab is named, and there is not exactly one"
        )
        if name in labs:
            what = f"lab `{name}` is only half there (its network is missing)"
            known += f"; `halab destroy {name}` removes the rest"
        raise InputError(what, f"labs here: {known}")
    topology = from_json(labs[name].topology)
    if topology.name != name:
        raise LabError(f"the network of lab `{name}` bears the label of another lab's topology")
    return Lab(engine, topology, reporter or Silent())


@dataclass(slots=True)
class Lab:
    """A lab: its topology and the engine that runs it."""

    engine: Engine
    topology: Topology
    reporter: Reporter = field(default_factory=Silent)
    cancelled: threading.Event = field(default_factory=threading.Event)
    why_not: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.topology.name

    def observe(self) -> Observed:
        """Look at what the engine holds of this lab."""
        return self.engine.observe(self.name)

    def node(self, name: str) -> NodeHandle:
        """Give a node. Raises InputError for a name that the lab does not have."""
        try:
            return handle(self.engine, self.topology.name, self.topology.node(name))
        except KeyError:
            known = ", ".join(node.name for node in self.topology.containers)
            raise InputError(
                f"lab {self.name} has no node `{name}`", f"its nodes: {known}"
            ) from None

    def distribution(self, observed: Observed | None = None) -> Distribution:
        """Give the distribution that the lab's nodes were made with."""
        name = self._name_of(observed or self.observe())
        if not name:
            raise LabError(f"lab {self.name} has no nodes yet", f"run `halab start {self.name}`")
        return distributions.find(name)

    # --- start ---

    def preview(self, forced: str = "") -> Plan:
        """Give the plan that `start` would carry out; builds and changes nothing."""
        observed = self.observe()
        builder = Builder(self.engine, sources_for(self.engine, self.topology), self.reporter)
        likely = distribution_choice.likely(
            self.topology.kubernetes.distributions, builder, forced or self._name_of(observed)
        )
        wanted = self._desired(likely, observed)
        self._check(wanted, observed)
        return plan.start(wanted, observed)

    def start(self, forced: str = "", timeout_s: float = START_TIMEOUT_S) -> Plan:
        """Bring the lab up and wait until it works; gives the plan that was carried out. A second start changes nothing.

        Raises InputError before anything is made, ApplyError or WaitTimeout afterwards. ^C takes back what this run made.
        """
        with exclusive(self.name, self.reporter):
            fitness.require_fit(self.engine)
            observed = self.observe()
            network.check_subnets(self.topology, self.engine, observed.networks)
            if few := network.few_watches(len(self.topology.nodes)):
                self.reporter.say(self.name, few)
            builder = Builder(self.engine, sources_for(self.engine, self.topology), self.reporter)
            known = self._name_of(observed)
            if forced and known and forced != known:
                raise InputError(
                    f"lab {self.name} runs {known}, not {forced}",
                    f"`halab destroy {self.name}` first",
                )
            whole = all(
                observed.container(node.name) for node in self.topology.containers
            )  # then no image is needed
            if known and whole:
                choice = distribution_choice.settled(known)
            else:
                preferred = self.topology.kubernetes.distributions
                choice = distribution_choice.choose(preferred, builder, forced or known)
            self.why_not = choice.why_not
            wanted = self._desired(choice.distribution, observed)
            self._check(wanted, observed)
            steps = plan.start(wanted, observed)
            applier = Applier(self.engine, self.reporter, secrets.token_hex(6), self.cancelled)
            with self._taking_back(applier):
                wanted = self._networks(steps, wanted, choice.distribution, applier)
                self._carry_out(steps, wanted, choice.distribution, applier, timeout_s)
            return steps

    def _name_of(self, observed: Observed) -> str:
        return next(
            (
                item.labels[LABEL_DISTRIBUTION]
                for item in observed.containers
                if LABEL_DISTRIBUTION in item.labels
            ),
            "",
        )

    def _desired(self, distribution: Distribution, observed: Observed) -> Desired:
        self.topology = network.settled(self.topology, self.engine, observed)
        port = network.port_for(self.topology, self.engine, observed)
        known = tags(sources_for(self.engine, self.topology))
        return desired_state.desired(self.topology, distribution, known, port)

    def _check(self, wanted: Desired, observed: Observed) -> None:
        """Refuse what would need a running lab to be rebuilt."""
        different = plan.changed(wanted, observed)
        if different:
            raise InputError(
                f"lab {self.name} was made from another topology or other images ({', '.join(different)} would differ); nothing was changed",
                f"`halab destroy {self.name}` and start again, or start this one beside it"
                f" with --name X --set network.subnet={network.free_for(self.topology, self.engine)}",
            )
        for spec in wanted.containers:
            if self.engine.owner(spec.name) not in {None, self.name}:
                raise InputError(
                    f"a container named {spec.name} exists that is not this lab's",
                    "rename or remove it, or use --name",
                )

    @contextlib.contextmanager
    def _taking_back(self, applier: Applier) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.cancelled.set()
            self.reporter.say(self.name, "interrupted: taking back what this run made")
            count = applier.take_back()
            self.reporter.done(
                self.name,
                f"took back {count} containers, volumes and networks; nothing else was touched",
            )
            raise

    def _networks(self, steps: Plan, wanted: Desired, chosen: Distribution, by: Applier) -> Desired:
        """Make the networks, if the kernel can carry a lab; give what is desired then.

        It differs where another lab has taken the management network meanwhile.
        """
        if not steps.empty:
            boot = Boot(self.engine, self.topology, chosen, by)
            boot.require_bridge(wanted)
        made = networks.make(self.topology, chosen.name, steps, by)
        if made != self.topology:
            self.topology = made
            wanted = self._desired(chosen, self.observe())
        return wanted

    def _carry_out(
        self,
        steps: Plan,
        wanted: Desired,
        distribution: Distribution,
        applier: Applier,
        timeout_s: float,
    ) -> None:
        boot = Boot(self.engine, self.topology, distribution, applier)
        keys, since = boot.make(steps, wanted), time.time()
        boot.boot(steps, wanted, keys)
        booted = steps.subjects(Action.BOOT, Action.START)
        with self.cluster(keys) as cluster:
            ready = Readiness(
                self.engine,
                self.topology,
                distribution,
                cluster,
                keys,
                self.reporter,
                self.cancelled,
                booted=booted,
                since=since,
            )
            ready.wait(timeout_s)
            Enabler(self.builder(), ready.site, self.reporter, self.cancelled).ensure()

    def start_node(self, name: str) -> Plan:
        """Power a node on again and wait until it is Ready. A running one stays as it is."""
        self.node(name)
        with exclusive(self.name, self.reporter):
            observed = self.observe()
            distribution = self.distribution(observed)
            wanted = self._desired(distribution, observed)
            steps = plan.only(plan.start(wanted, observed), wanted, name)
            if not steps.empty:
                applier = Applier(self.engine, self.reporter, secrets.token_hex(6), self.cancelled)
                with self._taking_back(applier):
                    wanted = self._networks(steps, wanted, distribution, applier)
                    boot = Boot(self.engine, self.topology, distribution, applier)
                    keys, since = boot.make(steps, wanted), time.time()
                    boot.boot(steps, wanted, keys)
                    self._await_node(name, distribution, keys, since)
            return steps

    def _await_node(
        self, name: str, distribution: Distribution, keys: Secrets, since: float
    ) -> None:
        """Wait until a node that was powered on is Ready, if there is a cluster to be Ready in."""
        running = {
            found.labels.get(LABEL_NODE) for found in self.observe().containers if found.running
        }
        masters = [node.name for node in self.topology.masters]
        quorum = len([node for node in masters if node in running]) > len(masters) // 2
        if not quorum or self.topology.loadbalancer.name not in running:
            reason = "the load balancer does not run" if quorum else "most masters do not run"
            self.reporter.done(name, f"booted; the cluster is not awaited: {reason}")
            return
        with self.cluster(keys) as cluster:
            only = (name,) if name in [node.name for node in self.topology.nodes] else ()
            ready = Readiness(
                self.engine,
                self.topology,
                distribution,
                cluster,
                keys,
                self.reporter,
                self.cancelled,
                only,
                only,
                since,
            )
            ready.wait(START_TIMEOUT_S)
            Enabler(self.builder(), ready.site, self.reporter, self.cancelled).images(*only)

    def builder(self) -> Builder:
        """Give what makes this lab's images."""
        return Builder(self.engine, sources_for(self.engine, self.topology), self.reporter)

    # --- stop, destroy ---

    def stop(self, *nodes: str) -> Plan:
        """Shut down the named nodes, or all; gives what was done."""
        for name in nodes:
            self.node(name)
        with exclusive(self.name, self.reporter):
            steps = plan.stop(self.observe(), nodes)
            Applier(self.engine, self.reporter, "").stop(self.name, steps.subjects(Action.STOP))
            return steps

    # --- access ---

    def secrets(self) -> Secrets:
        """Give the lab's secrets from its volume."""
        # By the image of one of its own nodes: the lab may be older than this halab and its images.
        image = next((found.image for found in self.observe().containers if found.image), "")
        if not image:
            raise LabError(f"lab {self.name} has no nodes yet", f"run `halab start {self.name}`")
        return secret_volume.read(self.engine, self.name, image)

    def port(self) -> int:
        """Give the host's port of the API. Raises LabError while the load balancer has none."""
        found = self.observe().container(self.topology.loadbalancer.name)
        port = found.ports.get(KUBERNETES_PORT) if found else None
        if not port:
            raise LabError(
                f"the load balancer of lab {self.name} does not run",
                f"`halab start {self.name}` starts it",
            )
        return port

    @contextlib.contextmanager
    def cluster(self, keys: Secrets | None = None) -> Iterator[Cluster]:
        """Lend the cluster's API, through the load balancer's port."""
        keys = keys or self.secrets()
        distribution = self.distribution()
        cluster = Cluster(
            f"https://127.0.0.1:{self.port()}",
            distribution.server_authority(keys),
            distribution.admin(keys),
        )
        try:
            yield cluster
        finally:
            cluster.close()
