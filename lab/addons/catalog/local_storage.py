"""local-storage: a default StorageClass, `local-path`, by the local-path-provisioner.

Names are those of its own manifest. A volume is a directory of one node and stays there: a pod that
uses it waits for that node, and does not move when the node dies.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.addons.addon import Addon, PodImage
from lab.addons.objects import account, bind, deployed, meta, role, workload
from lab.base.wait import Observation

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object

NAME = "local-path-provisioner"
SPACE = "local-path-storage"
ACCOUNT = f"{NAME}-service-account"
CLASS = "local-path"
FOLDER = "/opt/local-path-provisioner"
IMAGE = "rancher/local-path-provisioner:v0.0.30"
HELPER_IMAGE = "halab/toolbox:1.0.0"
"""Has a shell, mkdir and rm, and is in every node. images/versions.yaml names both images; a unit
test compares them."""
SETUP = '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n'
TEARDOWN = '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n'


def _config() -> Object:
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "helper-pod"},
        "spec": {
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {"name": "helper-pod", "image": HELPER_IMAGE, "imagePullPolicy": "IfNotPresent"}
            ],
        },
    }
    paths = {"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [FOLDER]}]}
    data = {
        "config.json": json.dumps(paths),
        "setup": SETUP,
        "teardown": TEARDOWN,
        "helperPod.yaml": json.dumps(helper),
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta("local-path-config", SPACE),
        "data": data,
    }


def _rights() -> tuple[Object, ...]:
    rules = [
        ("-", "nodes persistentvolumeclaims configmaps pods pods/log", "get list watch"),
        ("-", "persistentvolumes", "get list watch create patch update delete"),
        ("-", "events", "create patch"),
        ("storage.k8s.io", "storageclasses", "get list watch"),
    ]
    return (
        account(ACCOUNT, SPACE),
        role(f"{NAME}-role", rules),
        role(f"{NAME}-role", [("-", "pods", "get list watch create patch update delete")], SPACE),
        bind(f"{NAME}-bind", f"{NAME}-role", ACCOUNT, SPACE),
        bind(f"{NAME}-bind", f"{NAME}-role", ACCOUNT, SPACE, within=SPACE, cluster_role=False),
    )


def _deployment() -> Object:
    container = {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": [NAME, "start", "--config", "/etc/config/config.json"],
        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/config/"}],
        "env": [
            {
                "name": "POD_NAMESPACE",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}},
            },
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
    }
    pod = {
        "serviceAccountName": ACCOUNT,
        "containers": [container],
        "volumes": [{"name": "config-volume", "configMap": {"name": "local-path-config"}}],
    }
    return workload("Deployment", meta(NAME, SPACE), {"app": NAME}, pod, replicas=1)


class LocalStorage(Addon):
    """The local-path-provisioner as an Addon."""

    name = "local-storage"
    summary = "a default StorageClass, `local-path`: volumes are directories of one node"
    packaged = ("k3s",)

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return the provisioner's; it runs on a worker."""
        del site
        return (PodImage(NAME),)

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return namespace, rights, configuration, Deployment, the class."""
        del site
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        storage = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {**meta(CLASS), "annotations": default},
            "provisioner": "rancher.io/local-path",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        }
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta(SPACE)}
        return (space, *_rights(), _config(), _deployment(), storage)

    def ready(self, site: AddonContext) -> Observation:
        """Whether the class is there and the provisioner runs, on K3s in kube-system."""
        observation = deployed(
            site, "kube-system" if site.distribution.name in self.packaged else SPACE, NAME
        )
        if not observation.ok:
            return observation
        if site.cluster.find(f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}") is None:
            return Observation(ok=False, detail=f"no StorageClass {CLASS} yet")
        return Observation(ok=True, detail=f"StorageClass {CLASS}, {observation.detail}")


ADDON = LocalStorage()
