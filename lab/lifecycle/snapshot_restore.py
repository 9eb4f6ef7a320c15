"""`halab start --from`: a lab whose nodes are made of a snapshot's images.

Containers are made as ever, but of the snapshot's images; their volumes are filled before. Files
are laid down as at any first boot: they bring the new addresses, and new certificates of the
authorities among the snapshot's secrets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lab.base.errors import InputError, LabError
from lab.engine.files import File
from lab.engine.labels import (
    LABEL_HELPER,
    LABEL_NODE,
    LABEL_RUN,
    container_name,
    secrets_volume,
)
from lab.images.sources import COMMON_IMAGES
from lab.lifecycle import volumes_archive
from lab.live import snapshots
from lab.nodes import distributions, roles
from lab.topology import moving
from lab.topology.model import Role

if TYPE_CHECKING:
    from ipaddress import IPv4Network

    from lab.engine.client import Engine
    from lab.engine.spec import Desired, Observed
    from lab.images.builder import Builder
    from lab.lifecycle.apply import Applier
    from lab.live.snapshots import Snapshot
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology

MARK = "/var/lib/halab/restored"
PACEMAKER = "/etc/systemd/system/pacemaker.service.d/restored.conf"
FIRST_BOOT = f"""[Service]
ExecStartPre=/bin/sh -c 'test ! -e {MARK} || rm -f /var/lib/pacemaker/cib/cib.xml.sig {MARK}'
"""
"""Pacemaker refuses a CIB that does not have the digest beside it, and takes one without any. The
laid-down CIB is a new one; the digest is the snapshot's, and goes at the first boot."""


def topology(snapshot: Snapshot, name: str = "", subnet: IPv4Network | None = None) -> Topology:
    """Return the topology of a lab to be made from a snapshot.

    Raises InputError for a subnet to which its nodes cannot move. The management network is open:
    `start` chooses one that is free.
    """
    saved = snapshot.topology
    network = replace(saved.network, management_open=True)
    named = replace(saved, name=name or saved.name, network=network)
    if subnet is None or subnet == network.subnet:
        return named
    if why := _why_fixed(snapshot, saved):
        raise InputError(
            f"a lab from snapshot {snapshot.name} cannot have the subnet {subnet}: {why}",
            f"free {network.subnet} (`halab destroy` the lab that has it) and start without --set,"
            " or start a new lab from a topology",
        )
    return moving.moved(named, subnet)


def _why_fixed(snapshot: Snapshot, saved: Topology) -> str:
    """Return why the nodes must keep their addresses; "" if they need not."""
    if len(saved.masters) > 1:
        return "its masters' etcd knows its members by their addresses"
    name = snapshot.record.distribution if snapshot.record else ""
    if not distributions.find(name).master_moves:
        return f"{name} refuses a master whose address has changed"
    return ""


def hint_of_fixed(snapshot: Snapshot | None) -> str:
    """Return what to do about a taken subnet, if a snapshot's nodes cannot have another one."""
    why = _why_fixed(snapshot, snapshot.topology) if snapshot else ""
    if not why or snapshot is None:
        return ""
    return (
        f"`halab destroy` the lab that has it: a lab from snapshot {snapshot.name} keeps its"
        f" addresses, because {why}"
    )


def require_fit(snapshot: Snapshot, builder: Builder) -> None:
    """Raise LabError if the snapshot is of another architecture, or of other images than ours."""
    record = snapshot.record
    if record is None:
        raise AssertionError("a half-written snapshot is never started from")
    own = builder.sources.arch
    if record.architecture != own:
        raise LabError(
            f"snapshot {snapshot.name} is for {record.architecture}, the engine runs on {own};"
            " nothing was changed",
            "save one on this kind of machine: its programs cannot run here",
        )
    image = own_image(record.distribution, builder)
    if record.image != image:
        raise LabError(
            f"snapshot {snapshot.name} is of nodes of another build ({record.image}, saved by halab"
            f" {record.halab}); this halab makes {image}, and its files are for that one;"
            " nothing was changed",
            f"`halab snapshot remove {snapshot.name}`, start a new lab from a topology, save that",
        )


def own_image(distribution: str, builder: Builder) -> str:
    """Return the image of nodes that this halab makes: snapshots of another build do not fit."""
    return builder.tags[distributions.find(distribution).image]


def choose(snapshot: Snapshot, builder: Builder, preferred: str) -> Distribution:
    """Return the snapshot's distribution; build images of what is no node, if they are missing.

    Raises InputError if another distribution is insisted on, and LabError for a snapshot that does
    not fit.
    """
    require_fit(snapshot, builder)
    name = snapshot.record.distribution if snapshot.record else ""
    if preferred not in {"", name}:
        raise InputError(f"snapshot {snapshot.name} is of {name}, not {preferred}")
    if builder.missing(*COMMON_IMAGES):
        builder.build(name)
    return distributions.find(name)


def of_lab(engine: Engine, observed: Observed, builder: Builder) -> Snapshot | None:
    """Return the snapshot that a lab was made from, as far as it is still needed; None for none.

    A lab that has nodes can do without: one that is made anew gets this halab's image, as ever.
    Raises LabError if the snapshot is gone, or does not fit, and the lab has no nodes yet.
    """
    if not observed.snapshot:
        return None
    try:
        snapshot = snapshots.find(engine, observed.snapshot)
        require_fit(snapshot, builder)
    except LabError as error:
        if has_nodes(observed):
            return None
        raise LabError(
            f"lab {observed.lab} was begun from snapshot {observed.snapshot}: {error.message}",
            f"`halab destroy {observed.lab}`",
        ) from error
    return snapshot


def has_nodes(observed: Observed) -> bool:
    """Whether a lab has containers of nodes: its volumes were filled before the first was made."""
    return any(LABEL_NODE in container.labels for container in observed.containers)


def refuse_another(observed: Observed, snapshot: Snapshot) -> None:
    """Raise InputError if there is a lab of this name that was not made from the snapshot."""
    if observed.empty or observed.snapshot == snapshot.name:
        return
    raise InputError(
        f"there is a lab {observed.lab} already, which was not made from snapshot {snapshot.name};"
        " nothing was changed",
        f"`halab destroy {observed.lab}` first, or give this one another name: --name OTHER",
    )


def desired(plain: Desired, snapshot: Snapshot) -> Desired:
    """Return what the engine should hold of a lab that is made from a snapshot."""
    containers = tuple(
        replace(spec, image=snapshots.disk_tag(snapshot.name, spec.labels[LABEL_NODE]))
        if spec.labels[LABEL_NODE] in {node.name for node in snapshot.topology.nodes}
        else spec
        for spec in plain.containers
    )
    return replace(plain, containers=containers)


def fill(lab: Topology, snapshot: Snapshot, distribution: Distribution, applier: Applier) -> None:
    """Fill the volumes of a lab that has no containers yet. Raises LabError if one fails."""
    engine, name, run = applier.engine, lab.name, {LABEL_RUN: applier.run_id}
    _remove_helpers(engine, name)
    nodes = {node.name: node for node in lab.nodes}

    def fill_node(node: str) -> None:
        applier.reporter.say(node, "restoring its volumes")
        container = container_name(name, node)
        purposes = roles.find(nodes[node].role).volumes(nodes[node], distribution)
        volumes = {f"{container}-{purpose}": purpose for purpose in purposes}
        image = snapshots.volumes_tag(snapshot.name, node)
        volumes_archive.unpack(engine, image, name, volumes, run)

    def fill_secrets(_: str) -> None:
        image = snapshots.secrets_tag(snapshot.name)
        volumes = {secrets_volume(name): snapshots.SECRETS}
        volumes_archive.unpack(engine, image, name, volumes, run)

    todo = {**dict.fromkeys(nodes, fill_node), secrets_volume(name): fill_secrets}
    applier.together(lambda subject: todo[subject](subject), todo)


def _remove_helpers(engine: Engine, lab: str) -> None:
    """Remove what a killed start has left: it may still write into the volumes."""
    for container in engine.observe(lab).containers:
        if LABEL_HELPER.items() <= container.labels.items():
            engine.remove_container(container.id)


def files(node: Node) -> tuple[File, ...]:
    """Return what a restored node gets beside its ordinary files.

    An empty machine-id makes systemd draw a new one (machine-id(5)), and a new journal begins.
    """
    machine = File(path="/etc/machine-id", mode=0o444)
    if node.role is not Role.MASTER:
        return (machine,)
    return (machine, File(path=MARK), File(path=PACEMAKER, content=FIRST_BOOT.encode()))
