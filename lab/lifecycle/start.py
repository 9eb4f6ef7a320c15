"""`halab start`, read from top to bottom: each step is a function of one context.

What is looked at comes first and changes nothing; what is made afterwards is taken back by ^C.
"""

from __future__ import annotations

import contextlib
import secrets as random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from lab.addons.manager import AddonManager
from lab.base.errors import InputError
from lab.base.locks import exclusive
from lab.engine import fitness
from lab.engine.labels import LABEL_NODE
from lab.host import network
from lab.lifecycle import desired_state, distribution_choice, networks, plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.boot import Boot
from lab.lifecycle.plan import Action, Plan
from lab.lifecycle.readiness import Readiness
from lab.live.access import Access, Credentials
from lab.live.lab import distribution_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.engine.spec import Desired, Observed
    from lab.images.builder import Builder
    from lab.kube.pki import Secrets
    from lab.live.lab import Lab
    from lab.nodes.distributions import Distribution

T = TypeVar("T")

START_TIMEOUT_S = 300
"""A 3m3w lab is ready in some 25 s on two cores.

Ten times that is a machine in trouble, and CI must not hang on it.
"""


@dataclass(slots=True)
class Context:
    """What the steps of one start know of each other."""

    lab: Lab
    observed: Observed
    """What the engine held of the lab when the start began."""
    builder: Builder
    preferred: str = ""
    """The distribution that the caller insists on; empty: the topology decides."""
    node: str = ""
    """The one node to start; empty: all."""
    timeout_s: float = START_TIMEOUT_S
    why_not: tuple[str, ...] = ()
    """A sentence for each distribution that was preferred and could not be had."""
    since: float = field(default_factory=time.time)
    """When machines began to be powered on (POSIX time)."""
    _distribution: Distribution | None = None
    _desired: Desired | None = None
    _plan: Plan | None = None
    _applier: Applier | None = None
    secrets: Secrets | None = None
    """Known where something boots for the first time; nothing else needs them."""
    access: Access | None = None
    """Known once the machines have booted."""

    @property
    def distribution(self) -> Distribution:
        """Return what `choose_distribution` chose."""
        return _known(self._distribution)

    @property
    def desired(self) -> Desired:
        """Return what `describe` described."""
        return _known(self._desired)

    @property
    def plan(self) -> Plan:
        """Return what `compare` found to do."""
        return _known(self._plan)

    @property
    def applier(self) -> Applier:
        """Return what makes things, and takes them back."""
        if self._applier is None:
            lab = self.lab
            self._applier = Applier(lab.engine, lab.reporter, random.token_hex(6), lab.cancelled)
        return self._applier

    @property
    def boot(self) -> Boot:
        """Return what makes and boots machines."""
        return Boot(
            self.lab.engine, self.lab.topology, self.distribution, self.applier, self.observed
        )


@dataclass(frozen=True, slots=True)
class Started:
    """What a start did."""

    plan: Plan
    why_not: tuple[str, ...] = ()
    access: Access | None = None
    """The way to the API; None where no cluster was awaited."""


def _known(value: T | None) -> T:
    if value is None:
        raise AssertionError("a step of the start came before the one that it stands on")
    return value


# --- the steps that look ---


def preflight(start: Context) -> None:
    """Refuse an engine that cannot carry a lab, and networks that others have."""
    lab = start.lab
    fitness.require_fit(lab.engine)
    network.check_subnets(lab.topology, lab.engine, start.observed.networks)
    if warning := network.few_watches(len(lab.topology.nodes)):
        lab.reporter.say(lab.name, warning)


def choose_distribution(start: Context) -> None:
    """Choose the distribution, and make its images where a container is missing."""
    lab, preferred = start.lab, start.preferred
    current = distribution_of(start.observed)
    if preferred and current and preferred != current:
        raise InputError(
            f"lab {lab.name} runs {current}, not {preferred}", f"`halab destroy {lab.name}` first"
        )
    complete = all(start.observed.container(node.name) for node in lab.topology.containers)
    if current and complete:
        choice = distribution_choice.settled(current)
    else:
        names = lab.topology.kubernetes.distributions
        choice = distribution_choice.choose(names, start.builder, preferred or current)
    start.why_not = choice.why_not
    start._distribution = choice.distribution  # noqa: SLF001 (the context's own step)


def keep_distribution(start: Context) -> None:
    """Take the distribution that the lab's nodes were made with."""
    start._distribution = start.lab.distribution(start.observed)  # noqa: SLF001


def describe(start: Context) -> None:
    """Say what the engine should hold: which management network, which port, which containers."""
    lab = start.lab
    lab.topology = network.settled(lab.topology, lab.engine, start.observed)
    port = network.port_for(lab.topology, lab.engine, start.observed)
    start._desired = desired_state.desired(  # noqa: SLF001
        lab.topology, start.distribution, start.builder.tags, port
    )


def refuse_changes(start: Context) -> None:
    """Raise InputError for what would need a running lab to be rebuilt, or others' containers."""
    lab, desired = start.lab, start.desired
    if different := plan.changed(desired, start.observed):
        free = network.free_for(lab.topology, lab.engine)
        raise InputError(
            f"lab {lab.name} was made from another topology or other images"
            f" ({', '.join(different)} would differ); nothing was changed",
            f"`halab destroy {lab.name}` and start again, or start this one beside it"
            f" with --name X --set network.subnet={free}",
        )
    own = {container.name for container in start.observed.containers}
    for spec in desired.containers:
        if spec.name not in own and lab.engine.owner(spec.name) not in {None, lab.name}:
            raise InputError(
                f"a container named {spec.name} exists that is not this lab's",
                "rename or remove it, or use --name",
            )


def compare(start: Context) -> None:
    """Find what is to be done."""
    steps = plan.start(start.desired, start.observed)
    if start.node:
        steps = plan.only(steps, start.desired, start.node)
    start._plan = steps  # noqa: SLF001


# --- the steps that make ---


def make_networks(start: Context) -> None:
    """Make the networks, if the kernel can carry a lab.

    What is desired differs afterwards where another lab has taken the management network meanwhile.
    """
    lab = start.lab
    if not start.plan.empty:
        start.boot.require_bridge(start.desired)
    made = networks.make(lab.topology, start.distribution.name, start.plan, start.applier)
    if made != lab.topology:
        lab.topology = made
        describe(start)


def make_machines(start: Context) -> None:
    """Make volumes, secrets and containers; boot nothing."""
    start.secrets = start.boot.make(start.plan, start.desired)
    start.since = time.time()


def boot_machines(start: Context) -> None:
    """Power the machines on, wave by wave."""
    start.boot.boot(start.plan, start.desired, start.secrets)


def find_access(start: Context) -> None:
    """Find the way to the API."""
    lab, distribution = start.lab, start.distribution
    if start.secrets is None:
        start.access = lab.access(distribution)
        return
    credentials = Credentials.of_secrets(distribution, start.secrets)
    start.access = Access(distribution, credentials, lab.port())


def await_lab(start: Context) -> None:
    """Wait until all of the lab works, and bring its add-ons to work."""
    lab, access = start.lab, _known(start.access)
    booted = start.plan.subjects(Action.BOOT, Action.START)
    with access.cluster() as cluster:
        ready = Readiness(lab, access, cluster, booted=booted, since=start.since)
        ready.wait(start.timeout_s)
        AddonManager(start.builder, ready.site, lab.reporter, lab.cancelled).ensure()


def await_node(start: Context) -> None:
    """Wait until the one node is Ready, if there is a cluster to be Ready in."""
    lab, name = start.lab, start.node
    if start.plan.empty:
        return
    if reason := _no_cluster(start):
        lab.reporter.done(name, f"booted; the cluster is not awaited: {reason}")
        return
    find_access(start)
    access = _known(start.access)
    awaited = tuple(node.name for node in lab.topology.nodes if node.name == name)
    with access.cluster() as cluster:
        ready = Readiness(lab, access, cluster, only=awaited, booted=awaited, since=start.since)
        ready.wait(start.timeout_s)
        AddonManager(start.builder, ready.site, lab.reporter, lab.cancelled).images(*awaited)


def _no_cluster(start: Context) -> str:
    """Return why there is no cluster to wait for; empty where there is one."""
    topology = start.lab.topology
    observed = start.lab.observe().containers
    running = {container.labels.get(LABEL_NODE) for container in observed if container.running}
    masters = [node for node in topology.masters if node.name in running]
    if len(masters) <= len(topology.masters) // 2:
        return "most masters do not run"
    if topology.loadbalancer.name not in running:
        return "the load balancer does not run"
    return ""


LOOK: tuple[Callable[[Context], None], ...] = (
    preflight,
    choose_distribution,
    describe,
    refuse_changes,
    compare,
)
MAKE: tuple[Callable[[Context], None], ...] = (
    make_networks,
    make_machines,
    boot_machines,
    find_access,
    await_lab,
)
LOOK_AT_NODE: tuple[Callable[[Context], None], ...] = (keep_distribution, describe, compare)
MAKE_NODE: tuple[Callable[[Context], None], ...] = (
    make_networks,
    make_machines,
    boot_machines,
    await_node,
)


def start(lab: Lab, distribution: str = "", timeout_s: float = START_TIMEOUT_S) -> Started:
    """Bring a lab up and wait until it works. A second start changes nothing.

    Raises InputError before anything is made, ApplyError or WaitTimeout afterwards. ^C takes back
    what this run made.
    """
    with exclusive(lab.name, lab.reporter):
        context = _context(lab, preferred=distribution, timeout_s=timeout_s)
        return _carry_out(context, LOOK, MAKE)


def start_node(lab: Lab, name: str) -> Started:
    """Power a node on again and wait until it is Ready. A running one stays as it is."""
    lab.node(name)
    with exclusive(lab.name, lab.reporter):
        return _carry_out(_context(lab, node=name), LOOK_AT_NODE, MAKE_NODE)


def preview(lab: Lab, distribution: str = "") -> Plan:
    """Return the plan that `start` would carry out; builds and changes nothing."""
    context = _context(lab, preferred=distribution)
    wish = distribution or distribution_of(context.observed)
    names = lab.topology.kubernetes.distributions
    context._distribution = distribution_choice.likely(names, context.builder, wish)  # noqa: SLF001
    for step in (describe, refuse_changes, compare):
        step(context)
    return context.plan


def _context(
    lab: Lab, *, preferred: str = "", node: str = "", timeout_s: float = START_TIMEOUT_S
) -> Context:
    return Context(
        lab, lab.observe(), lab.builder(), preferred=preferred, node=node, timeout_s=timeout_s
    )


def _carry_out(
    context: Context,
    look: tuple[Callable[[Context], None], ...],
    make: tuple[Callable[[Context], None], ...],
) -> Started:
    for step in look:
        step(context)
    if not (context.node and context.plan.empty):
        with _taking_back(context):
            for step in make:
                step(context)
    return Started(context.plan, context.why_not, context.access)


@contextlib.contextmanager
def _taking_back(context: Context) -> Iterator[None]:
    """On ^C, remove what this run made, and nothing else."""
    lab = context.lab
    try:
        yield
    except KeyboardInterrupt:
        lab.cancelled.set()
        lab.reporter.say(lab.name, "interrupted: taking back what this run made")
        count = context.applier.take_back()
        lab.reporter.done(
            lab.name,
            f"took back {count} containers, volumes and networks; nothing else was touched",
        )
        raise
