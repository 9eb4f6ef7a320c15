"""`halab start`, read from top to bottom: each step is a function of one context.

The steps that look come first and change nothing. What the later ones make is taken back by ^C.
"""

from __future__ import annotations

import contextlib
import secrets as random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.base.locks import exclusive
from lab.base.profile import measured
from lab.engine import fitness
from lab.host import capacity, network
from lab.lifecycle import desired_state, distribution_choice, networks, plan, snapshot_restore
from lab.lifecycle.apply import Applier
from lab.lifecycle.awaiting import await_lab, await_node, find_access
from lab.lifecycle.plan import Action
from lab.lifecycle.start_context import START_TIMEOUT_S, Context
from lab.live import snapshots
from lab.live.lab import distribution_of
from lab.topology import difference
from lab.topology.model import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.base.profile import Profile
    from lab.lifecycle.plan import Plan
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.live.snapshots import Snapshot
    from lab.live.status import LabStatus

SETTINGS_SHOWN = 4
"""In an error: as many as are read at once."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a start did."""

    plan: Plan
    why_not: tuple[str, ...] = ()
    access: Access | None = None
    """The way to the API; None if no cluster was awaited."""
    status: LabStatus | None = None
    """The lab's, if all worked at once and nothing had to be done."""


# --- the steps that look ---


def preflight(start: Context) -> None:
    """Refuse an engine that cannot run a lab or has no room for it, and networks of others."""
    lab = start.lab
    fitness.require_fit(lab.engine)
    fixed = snapshot_restore.hint_of_fixed(start.snapshot)
    network.check_subnets(lab.topology, lab.engine, start.observed.networks, fixed)
    network.check_ports(lab.topology, start.observed)
    if capacity.starting(lab.topology, start.observed):
        _check_room(start)


def _check_room(start: Context) -> None:
    lab = start.lab
    others = capacity.others(lab.engine, lab.name)
    for what, warning in capacity.check(lab.topology, lab.engine, start.observed, others).items():
        lab.reporter.say(what, warning)
    nodes = len(lab.topology.nodes) + capacity.count_nodes(others)
    if warning := network.few_watches(nodes):
        lab.reporter.say(lab.name, warning)


def choose_distribution(start: Context) -> None:
    """Choose the distribution, and build its images if a container is missing."""
    lab, preferred = start.lab, start.preferred
    current = distribution_of(start.observed)
    if preferred and current and preferred != current:
        raise InputError(
            f"lab {lab.name} runs {current}, not {preferred}", f"`halab destroy {lab.name}` first"
        )
    if current and _is_complete(start):
        choice = distribution_choice.settled(current)
    elif start.snapshot:
        own = snapshot_restore.choose(start.snapshot, start.builder, preferred)
        choice = distribution_choice.Choice(own, ())
    else:
        names = lab.topology.kubernetes.distributions
        choice = distribution_choice.choose(names, start.builder, preferred or current)
    start.why_not = choice.why_not
    start.distribution = choice.distribution


def _is_complete(start: Context) -> bool:
    """Whether nothing is to be made: no image is needed then, nor a snapshot."""
    machines = start.lab.topology.containers
    return all(start.observed.container(node.name) for node in machines)


def keep_distribution(start: Context) -> None:
    """Keep the distribution that the lab's nodes were made with."""
    start.distribution = start.lab.distribution(start.observed)


def describe(start: Context) -> None:
    """Compute what the engine should hold: the management network, the port, the containers."""
    lab = start.lab
    lab.topology = network.settled(lab.topology, lab.engine, start.observed)
    port = network.port_for(lab.topology, lab.engine, start.observed)
    start.desired = desired_state.desired(
        lab.topology, start.distribution, start.builder.tags, port
    )
    if start.snapshot:
        start.desired = snapshot_restore.desired(start.desired, start.snapshot)


def refuse_changes(start: Context) -> None:
    """Raise InputError if a running lab would have to be rebuilt, or a container is another's."""
    lab, desired = start.lab, start.desired
    if different := plan.changed(desired, start.observed):
        free = network.free_for(lab.topology, lab.engine)
        raise InputError(
            f"lab {lab.name} was made {_made_otherwise(start, different)}; nothing was changed",
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


def _made_otherwise(start: Context, nodes: tuple[str, ...]) -> str:
    """Return what these nodes of a running lab were made from, against what is asked for now."""
    settings: tuple[str, ...] = ()
    # The label is not there if the network is not, and another halab may have written it.
    with contextlib.suppress(ValueError, LookupError):
        settings = difference.settings(from_json(start.observed.topology), start.lab.topology)
    if not settings:
        return f"from another topology or other images ({', '.join(nodes)} would differ)"
    more = f"; and {len(settings) - SETTINGS_SHOWN} more" if settings[SETTINGS_SHOWN:] else ""
    return f"with other settings ({'; '.join(settings[:SETTINGS_SHOWN])}{more})"


def compare(start: Context) -> None:
    """Find what is to be done."""
    steps = plan.start(start.desired, start.observed)
    if start.node:
        steps = plan.only(steps, start.desired, start.node)
    start.plan = steps


# --- the steps that make ---


def make_networks(start: Context) -> None:
    """Make the networks, if the kernel can run a lab.

    If another lab has taken the management network meanwhile, another one is desired afterwards.
    """
    lab = start.lab
    if not start.plan.empty:
        start.boot.require_bridge(start.desired)
    # From here on the lab's network names the snapshot, which then cannot be removed.
    source = start.snapshot if start.plan.subjects(Action.CREATE_NETWORK) else None
    name, kind = (source.name if source else ""), start.distribution.name
    with snapshots.claiming(lab.engine, source, lab.reporter):
        made = networks.make(lab.topology, kind, start.plan, start.applier, name)
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


# The last ones are in lab/lifecycle/awaiting.py.

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


def start(
    lab: Lab,
    distribution: str = "",
    timeout_s: float = START_TIMEOUT_S,
    *,
    profile: Profile | None = None,
    snapshot: Snapshot | None = None,
) -> Started:
    """Bring a lab up and wait until it works. A second start changes nothing.

    `profile` hears where the seconds go. A new lab's nodes are made from `snapshot`, if one is
    given. Raises InputError before anything is made, ApplyError or WaitTimeout afterwards. ^C takes
    back what this run made.
    """
    with exclusive(lab.name, lab.reporter):
        context = _context(lab, preferred=distribution, timeout_s=timeout_s, snapshot=snapshot)
        context.profile = profile
        return _carry_out(context, LOOK, MAKE)


def start_again(lab: Lab) -> Started:
    """Bring a lab up that was there a moment ago.

    Raises LabError if it was removed meanwhile: a start would make a new, empty one.
    """
    with exclusive(lab.name, lab.reporter):
        if not snapshot_restore.has_nodes(lab.observe()):
            raise LabError(
                f"lab {lab.name} was removed meanwhile", "`halab start FILE` makes a new one"
            )
        return _carry_out(_context(lab), LOOK, MAKE)


def start_node(lab: Lab, name: str) -> Started:
    """Power a node on again and wait until it is Ready. A running one stays as it is."""
    lab.node(name)
    with exclusive(lab.name, lab.reporter):
        return _carry_out(_context(lab, node=name), LOOK_AT_NODE, MAKE_NODE)


def preview(lab: Lab, distribution: str = "", snapshot: Snapshot | None = None) -> Plan:
    """Return the plan that `start` would carry out; builds and changes nothing.

    If the snapshot does not fit, the reporter hears that `start` will refuse it.
    """
    context = _context(lab, preferred=distribution, snapshot=snapshot)
    if snapshot and not _is_complete(context):
        try:
            snapshot_restore.require_fit(snapshot, context.builder)
        except LabError as error:
            lab.reporter.say(lab.name, f"will be refused: {error.message}")
    saved = snapshot.record.distribution if snapshot and snapshot.record else ""
    forced = distribution or saved or distribution_of(context.observed)
    names = lab.topology.kubernetes.distributions
    context.distribution = distribution_choice.likely(names, context.builder, forced)
    for step in (describe, refuse_changes, compare):
        step(context)
    return context.plan


def _context(
    lab: Lab,
    *,
    preferred: str = "",
    node: str = "",
    timeout_s: float = START_TIMEOUT_S,
    snapshot: Snapshot | None = None,
) -> Context:
    applier = Applier(lab.engine, lab.reporter, random.token_hex(6), lab.cancelled)
    observed, builder = lab.observe(), lab.builder()
    if snapshot:
        snapshot_restore.refuse_another(observed, snapshot)
    return Context(
        lab,
        observed,
        builder,
        applier,
        preferred=preferred,
        node=node,
        timeout_s=timeout_s,
        snapshot=snapshot or snapshot_restore.of_lab(lab.engine, observed, builder),
    )


def _carry_out(
    context: Context,
    look: tuple[Callable[[Context], None], ...],
    make: tuple[Callable[[Context], None], ...],
) -> Started:
    for step in look:
        _step(step, context)
    if not (context.node and context.plan.empty):
        with _taking_back(context):
            for step in make:
                _step(step, context)
    return Started(context.plan, context.why_not, context.access, context.status)


def _step(step: Callable[[Context], None], context: Context) -> None:
    with measured(context.profile, getattr(step, "__name__", "step")):
        step(context)


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
