"""Rook's objects. Pure.

The used part of its published manifests, the operator, and the Ceph cluster that it is to make.
Names are upstream's (namespace, operator, `rook-ceph-tools`, `replicapool`): the commands of its
documentation work here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.addons.catalog.ceph import osd_disk as disk
from lab.addons.objects import MASTERS_TOO, meta, workload
from lab.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.addons.addon import Object
    from lab.topology.model import Topology

SPACE = "rook-ceph"
IMAGE = "rook/ceph:v1.12.11"
CEPH_IMAGE = "quay.io/ceph/ceph:v18.2.7"
"""Both are named in images/versions.yaml; a unit test compares them."""
POOL = "replicapool"
TOOLS = "rook-ceph-tools"
DATA = "/var/lib/rook"
REPLICAS = 3
OSD_MIB = 896
"""Ceph's minimum for osd_memory_target; its default of 4 GiB is for real disks."""
LEAVE_AFTER_S = 10
LEAVE_DEAD_NODES = [
    {
        "key": f"node.kubernetes.io/{condition}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": LEAVE_AFTER_S,
    }
    for condition in ("not-ready", "unreachable")
]
UNUSED = ("csi", "cephfs-", "rbd-", "objectstorage", "cosi")
"""Parts of the names of rights that are not used here: CSI drivers need the kernel's rbd or ceph
modules, which few machines have."""
CONFIG = f"""[global]
osd_pool_default_size = {REPLICAS}
osd_pool_default_min_size = 2
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
# All nodes share the host's disk: the defaults (30 and 5 percent free) \
are warnings about that, not about Ceph.
mon_data_avail_warn = 3
mon_data_avail_crit = 1
# Debian's default starts modules that this image leaves out.
mgr_initial_modules = iostat
osd_memory_target = {OSD_MIB * 1024 * 1024}
# The benchmark of a new OSD writes for half a minute, \
to plan with figures that a lab has no use for.
osd_mclock_skip_benchmark = true
bdev_flock_retry = 20
"""


def kept(item: Object) -> Object | None:
    """Return an object of Rook's published manifests as it is used; None if it is not.

    Descriptions in schemas are left out: they are three quarters of their size, which every API
    server would read and keep.
    """
    name = item["metadata"]["name"]
    definition = item["kind"] == "CustomResourceDefinition"
    if not definition and any(part in name for part in UNUSED):
        return None
    return _without_descriptions(item) if definition else item


def _without_descriptions(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {
            key: _without_descriptions(item)
            for key, item in value.items()
            if key != "description" or not isinstance(item, str)
        }
    return [_without_descriptions(item) for item in value] if isinstance(value, list) else value


def settings() -> tuple[Object, ...]:
    """Return Ceph's settings and the operator's."""
    operator = {
        "ROOK_LOG_LEVEL": "INFO",
        "ROOK_CSI_ENABLE_RBD": "false",
        "ROOK_CSI_ENABLE_CEPHFS": "false",
        "ROOK_CSI_ENABLE_NFS": "false",
        "ROOK_ENABLE_DISCOVERY_DAEMON": "false",
        "ROOK_DISABLE_DEVICE_HOTPLUG": "true",
        "ROOK_DISABLE_ADMISSION_CONTROLLER": "true",
        "ROOK_CEPH_ALLOW_LOOP_DEVICES": "true",
        "ROOK_CEPH_COMMANDS_TIMEOUT_SECONDS": "60",
        "ROOK_WATCH_FOR_NODE_FAILURE": "false",
    }
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta("rook-config-override", SPACE),
            "data": {"config": CONFIG},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta("rook-ceph-operator-config", SPACE),
            "data": operator,
        },
    )


def operator() -> Object:
    """Return the operator's Deployment."""

    def own(name: str, path: str) -> Object:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    container = {
        "name": "rook-ceph-operator",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["ceph", "operator"],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 2016,
            "runAsGroup": 2016,
            "capabilities": {"drop": ["ALL"]},
        },
        "env": [
            {"name": "ROOK_CURRENT_NAMESPACE_ONLY", "value": "true"},
            {"name": "ROOK_UNREACHABLE_NODE_TOLERATION_SECONDS", "value": str(LEAVE_AFTER_S)},
            own("NODE_NAME", "spec.nodeName"),
            own("POD_NAME", "metadata.name"),
            own("POD_NAMESPACE", "metadata.namespace"),
        ],
        "volumeMounts": [
            {"mountPath": DATA, "name": "rook-config"},
            {"mountPath": "/etc/ceph", "name": "default-config-dir"},
        ],
    }
    pod = {
        "serviceAccountName": "rook-ceph-system",
        "containers": [container],
        "tolerations": [*MASTERS_TOO, *LEAVE_DEAD_NODES],
        "volumes": [
            {"name": "rook-config", "emptyDir": {}},
            {"name": "default-config-dir", "emptyDir": {}},
        ],
    }
    name = "rook-ceph-operator"
    return workload(
        "Deployment",
        meta(name, SPACE, operator="rook"),
        {"app": name},
        pod,
        replicas=1,
        strategy={"type": "Recreate"},
    )


def tools() -> Object:
    """Return a DaemonSet of pods with Ceph's tools, which do nothing by themselves.

    They are where clients run: data are written through one and read through another.
    """
    container = {
        "name": TOOLS,
        "image": CEPH_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
    }
    pod = {
        "containers": [container],
        "tolerations": MASTERS_TOO,
        "terminationGracePeriodSeconds": 0,
    }
    labels = {"app": TOOLS}
    return workload("DaemonSet", meta(TOOLS, SPACE, **labels), labels, pod)


def cluster(topology: Topology, nodes: Sequence[str]) -> Object:
    """Return the CephCluster: three monitors, one manager, an OSD on each of the given nodes.

    An OSD gets halab's own loop device, and nothing else.
    """
    devices = [
        {
            "name": node,
            "devices": [{"name": disk.device(topology, node), "config": {"deviceClass": "ssd"}}],
        }
        for node in nodes
    ]
    quick = {"disabled": False, "interval": "15s"}
    spec = {
        "cephVersion": {"image": CEPH_IMAGE, "allowUnsupported": False},
        "dataDirHostPath": DATA,
        "mon": {"count": REPLICAS, "allowMultiplePerNode": False},
        "mgr": {"count": 1, "allowMultiplePerNode": False},
        "dashboard": {"enabled": False},
        "monitoring": {"enabled": False, "metricsDisabled": True},
        "crashCollector": {"disable": True},
        "logCollector": {"enabled": False},
        "disruptionManagement": {"managePodBudgets": False},
        "placement": {"all": {"tolerations": MASTERS_TOO}},
        "resources": {
            "mon": {"requests": {"cpu": "50m", "memory": "256Mi"}},
            "mgr": {"requests": {"cpu": "50m", "memory": "256Mi"}},
            "osd": {"requests": {"cpu": "50m", "memory": f"{OSD_MIB}Mi"}},
        },
        "healthCheck": {"daemonHealth": {"mon": quick, "osd": quick, "status": quick}},
        "storage": {"useAllNodes": False, "useAllDevices": False, "nodes": devices},
    }
    item = {
        "apiVersion": "ceph.rook.io/v1",
        "kind": "CephCluster",
        "metadata": meta(SPACE, SPACE),
        "spec": spec,
    }
    refuse_foreign_disks(item)
    return item


def refuse_foreign_disks(item: Object) -> None:
    """Raise InputError for a CephCluster that could reach any device but halab's own.

    That way Rook's quick start once erased a host's disk from a node in a container (rook/rook
    issue 9166).
    """
    storage = item["spec"]["storage"]
    for place in (storage, *storage.get("nodes", ())):
        for key in (
            "useAllNodes",
            "useAllDevices",
            "deviceFilter",
            "devicePathFilter",
            "storageClassDeviceSets",
        ):
            if place.get(key):
                raise InputError(
                    f"CephCluster with {key}: refused", "it would let Ceph take disks of the host"
                )
        for row in place.get("devices", ()):
            disk.checked(row.get("name", ""))
            if row.get("fullpath"):
                raise InputError(
                    "CephCluster with a device's full path: refused",
                    "only loop devices that halab made",
                )


def pool() -> Object:
    """Return the pool for the round trip and for users.

    It has three copies on three hosts, and can be written with two.
    """
    spec = {
        "failureDomain": "host",
        "replicated": {"size": REPLICAS, "requireSafeReplicaSize": True},
        "parameters": {"pg_num": "8", "pgp_num": "8"},
    }
    return {
        "apiVersion": "ceph.rook.io/v1",
        "kind": "CephBlockPool",
        "metadata": meta(POOL, SPACE),
        "spec": spec,
    }
