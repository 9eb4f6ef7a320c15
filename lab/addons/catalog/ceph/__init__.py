"""ceph: a Ceph cluster made by Rook in the namespace `rook-ceph`.

Three monitors, a manager, and three OSDs on three nodes. It can be made while nodes are down: any
three Ready nodes are enough. The OSDs' disks are sparse files
(lab/addons/catalog/ceph/osd_disk.py).
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from lab.addons.addon import Addon, Needs, PodImage
from lab.addons.catalog.ceph import osd_disk as disk
from lab.addons.catalog.ceph import rook
from lab.addons.catalog.ceph.client import API, CLUSTER_PATH, Ceph
from lab.base.errors import LabError
from lab.base.wait import Observation, until
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object
    from lab.engine.node import NodeHandle

ALLOWED = {
    "POOL_APP_NOT_ENABLED": "the manager's own pool is new and has no application set yet",
    "RECENT_CRASH": "a killed daemon is kept as a crash for two weeks",
    "SLOW_OPS": "a request waited more than 30 s: two cores carry the whole lab",
    "BLUESTORE_SLOW_OP_ALERT": "the same, of the disk",
}
"""Reasons for HEALTH_WARN with which a lab's Ceph still counts as working. With any other, and with
HEALTH_ERR, it does not."""
MEMORY_MIB = 2048
"""Measured in the cgroups of a 3m3w lab's machines, as usage without inactive caches, every 3 s.
With Ceph at most 1.4 GiB more on four nodes (1.2 to 2.6 GiB), 1.8 GiB more on six (1.8 to 3.6 GiB);
some 0.8 GiB of it is page cache. OSDs grow to 896 MiB each as they are filled."""
TEARDOWN_TIMEOUT_S = 20


def storage_nodes(site: AddonContext) -> tuple[str, ...]:
    """Return the nodes with OSDs.

    Those of the CephCluster if there is one, otherwise three Ready ones, workers before masters.
    """
    cluster = site.cluster.find(CLUSTER_PATH)
    if cluster is not None:
        return tuple(row["name"] for row in cluster["spec"]["storage"]["nodes"])
    ready = [name for name, item in site.cluster.nodes().items() if node_ready(item)[0]]
    order = [node.name for node in (*site.topology.workers, *site.topology.masters)]
    usable = [name for name in order if name in ready and site.node(name).running]
    return tuple(usable[: rook.REPLICAS])


class CephAddon(Addon):
    """Rook's Ceph as an Addon."""

    name = "ceph"
    summary = "a Ceph cluster by Rook: three monitors, a manager, three OSDs on sparse files"
    timeout_s = 600
    bundles = ("rook-manifests",)

    def needs(self, site: AddonContext) -> Needs:
        """Return three nodes, and the memory that it was measured to take."""
        del site
        return Needs(memory_mib=MEMORY_MIB, nodes=rook.REPLICAS)

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return both on masters, too: with two nodes down, three monitors need more than workers.

        The two images share most of their layers.
        """
        del site
        return (PodImage("ceph", masters=True), PodImage("rook", masters=True))

    def bundled(self, item: Object) -> Object | None:
        """Return Rook's published definitions and rights, without those for CSI."""
        return rook.kept(item)

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return settings, operator, tools, and the cluster and pool for the operator to make."""
        cluster = rook.cluster(site.topology, storage_nodes(site))
        return (*rook.settings(), rook.operator(), rook.tools(), cluster, rook.pool())

    def prepare(self, site: AddonContext) -> None:
        """Make the disks.

        If there is no cluster, what an earlier one left on nodes is removed first.
        """
        fresh, chosen = site.cluster.find(CLUSTER_PATH) is None, storage_nodes(site)
        for node in (site.node(node.name) for node in site.topology.nodes):
            if fresh and node.running:
                _wipe(site, node)
        for name in chosen:
            node = site.node(name)
            if not node.running:
                continue
            node.put(disk.files(site.topology, name))
            node.run(["systemctl", "daemon-reload"])
            node.run(["systemctl", "start", disk.UNIT])

    def ready(self, site: AddonContext) -> Observation:
        """Whether Ceph is healthy, and an object put through one node is read through another."""
        ceph = Ceph(site)
        try:
            health = ceph.health()
        except LabError as error:
            return Observation(
                ok=False,
                detail=f"{_progress(ceph)}; {error.message.splitlines()[0][:120]}{_lost(site)}",
            )
        if not working(health.status, health.codes):
            return Observation(ok=False, detail=health.text() + _lost(site))
        complete = (
            len(health.quorum) == rook.REPLICAS
            and health.mgr
            and health.osds_up == health.osds_in == rook.REPLICAS
        )
        if not complete or not health.pgs or health.pgs_clean < health.pgs:
            return Observation(ok=False, detail=health.text() + _lost(site))
        hosts = ceph.hosts(rook.TOOLS)
        if len(set(hosts)) < 2 or not _has_pool(ceph):  # noqa: PLR2004 (one writes, another reads)
            return Observation(
                ok=False,
                detail=f"{health.text()}; the pool {rook.POOL} or the tools are not there yet",
            )
        return _round_trip(ceph, hosts[0], hosts[-1], health.text())

    def retire(self, site: AddonContext) -> None:
        """Let the operator remove the cluster, while it is there to do so.

        What it leaves behind is released by hand.
        """
        pool = f"/apis/ceph.rook.io/v1/namespaces/{rook.SPACE}/cephblockpools/{rook.POOL}"
        for place in (pool, CLUSTER_PATH):
            site.cluster.delete(place)

        def gone() -> Observation:
            left = [place for place in (pool, CLUSTER_PATH) if site.cluster.find(place) is not None]
            return Observation(ok=not left, detail=f"Rook still holds {', '.join(left)}")

        # The operator waits for daemons on dead nodes, and may be gone itself; but the data must go
        # in any case.
        with contextlib.suppress(LabError):
            until("Rook takes Ceph down", gone, timeout_s=TEARDOWN_TIMEOUT_S)
        for place in (
            pool,
            CLUSTER_PATH,
            f"{API}/secrets/rook-ceph-mon",
            f"{API}/configmaps/rook-ceph-mon-endpoints",
        ):
            _release(site, place)

    def clean(self, site: AddonContext) -> None:
        """Remove disks and data from the nodes that run.

        The others lose theirs when Ceph is enabled again, or with the lab.
        """
        for node in (site.node(node.name) for node in site.topology.nodes):
            if node.running:
                _wipe(site, node)


def working(status: str, codes: tuple[str, ...]) -> bool:
    """Whether Ceph's health is good enough: HEALTH_OK, or HEALTH_WARN for allowed reasons only."""
    return status == "HEALTH_OK" or (status == "HEALTH_WARN" and set(codes) <= set(ALLOWED))


def _progress(ceph: Ceph) -> str:
    apps = ("operator", "mon", "mgr", "osd")
    return ", ".join(f"{len(ceph.pods(f'rook-ceph-{app}'))} {app}" for app in apps)


def _lost(site: AddonContext) -> str:
    """Return which of the chosen nodes are not Ready, as text; empty if none.

    Their OSDs come when they return; others are chosen only after a `disable`.
    """
    nodes = site.cluster.nodes()
    lost = [
        name for name in storage_nodes(site) if name not in nodes or not node_ready(nodes[name])[0]
    ]
    return f"; not Ready, and chosen for an OSD: {', '.join(lost)}" if lost else ""


def _has_pool(ceph: Ceph) -> bool:
    return rook.POOL in ceph.run(["ceph", "osd", "pool", "ls"]).split()


def _round_trip(ceph: Ceph, writer: str, reader: str, health: str) -> Observation:
    name = f"halab-{secrets.token_hex(6)}"
    wrote = ceph.put(writer, name, secrets.token_bytes(64 * 1024))
    read = ceph.checksum(reader, name)
    ceph.remove(writer, name)
    if wrote != read:
        return Observation(
            ok=False, detail=f"written through {writer}: {wrote}, read through {reader}: {read}"
        )
    return Observation(ok=True, detail=f"{health}; written through {writer}, read through {reader}")


def _wipe(site: AddonContext, node: NodeHandle) -> None:
    """Remove a node's disk and Rook's folder: only halab's and Rook's own paths in the node."""
    unit, script = f"/etc/systemd/system/{disk.UNIT}.service", disk.SCRIPT
    link = f"/etc/systemd/system/multi-user.target.wants/{disk.UNIT}.service"
    paths = f"{unit} {link} {script} {disk.image(site.topology, node.name)}"
    node.run(
        ["sh", "-c", f"systemctl stop {disk.UNIT} 2>/dev/null; rm -f {paths}; rm -rf {rook.DATA}"]
    )


def _release(site: AddonContext, place: str) -> None:
    """Remove the finalizers from an object that its owner no longer handles."""
    if site.cluster.find(place) is not None:
        site.cluster.request(
            "PATCH", place, {"metadata": {"finalizers": None}}, kind="application/merge-patch+json"
        )


ADDON = CephAddon()
