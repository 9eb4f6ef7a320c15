"""What kubeadm is given: its configuration, kubelet's unit, flannel's objects. Pure text.

Everything follows kubeadm's defaults. What a container needs otherwise is here, each with its
reason; most of it is what kind does to its nodes, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.engine.files import File, unit_links
from lab.nodes.distributions.upstream import units
from lab.nodes.distributions.upstream.config import containerd_config
from lab.topology.model import KUBERNETES_PORT, Role

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from lab.topology.model import Node, Topology

API = "kubeadm.k8s.io/v1beta4"
SOCKET = "unix:///run/containerd/containerd.sock"
REPOSITORY = "bench.test"
"""Where kubeadm's images seem to come from. They lie in each node's containerd; none is pulled."""
IMAGE_TAG = "bench"
"""The tag of the images whose version kubeadm would choose by itself: etcd's and CoreDNS's."""
CONFIG = "/etc/kubeadm/config.yaml"
RESOLV_CONF = "/etc/kubeadm/resolv.conf"
FLANNEL_FILE = "/etc/kubeadm/flannel.json"
ADMIN = "/etc/kubernetes/admin.conf"
DNS_HOST = 10
"""kubeadm gives its DNS the tenth address of the Services' range."""
IGNORED = ("SystemVerification",)
"""Checks of kubeadm that a container cannot pass. This one wants the kernel's configuration in
/boot or its module `configs`, and refuses cgroup v1. kind leaves all checks out."""
KUBELET_UNIT = """[Unit]
Description=kubelet
After=containerd.service
StartLimitIntervalSec=0

[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Delegate=yes
KillMode=process
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
"""
"""kubeadm's own unit and drop-in (kubernetes/release). A failed kubelet comes again after a second
instead of ten, as in kind."""


@dataclass(frozen=True, slots=True)
class Admission:
    """By what a node joins: one value of each for a cluster."""

    token: str
    """In kubeadm's form: six and sixteen digits."""
    certificate_key: str
    """32 bytes in hex, for the uploaded certificates."""


def service_address(topology: Topology) -> IPv4Address:
    """Return the address at which kubeadm's DNS answers."""
    return topology.kubernetes.service_cidr[DNS_HOST]


def endpoint(topology: Topology) -> str:
    """Return the control plane's endpoint: the load balancer."""
    return f"{topology.loadbalancer.ip}:{KUBERNETES_PORT}"


def documents(topology: Topology, node: Node, admission: Admission, version: str) -> list[Any]:
    """Return a node's configuration: the first master's is for `init`, all others' for `join`."""
    if node == topology.masters[0]:
        return _init(topology, node, admission, version)
    return [_join(topology, node, admission)]


def _registration(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "criSocket": SOCKET,
        "imagePullPolicy": "Never",  # they lie in containerd, as in kind's node image
        "ignorePreflightErrors": list(IGNORED),
        # Docker gives a node one address, but kubelet would take it from the default route.
        "kubeletExtraArgs": [{"name": "node-ip", "value": str(node.ip)}],
    }


def _init(topology: Topology, node: Node, admission: Admission, version: str) -> list[Any]:
    kubernetes = topology.kubernetes
    init = {
        "apiVersion": API,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{"token": admission.token}],
        "certificateKey": admission.certificate_key,
        "localAPIEndpoint": {"advertiseAddress": str(node.ip), "bindPort": KUBERNETES_PORT},
        "nodeRegistration": _registration(node),
    }
    cluster = {
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "kubernetesVersion": version,
        "controlPlaneEndpoint": endpoint(topology),
        "imageRepository": REPOSITORY,
        "dns": {"imageTag": IMAGE_TAG},
        "etcd": {"local": {"imageTag": IMAGE_TAG}},
        "networking": {
            "podSubnet": str(kubernetes.pod_cidr),
            "serviceSubnet": str(kubernetes.service_cidr),
        },
    }
    return [init, cluster, _kubelet(), _proxy()]


def _kubelet() -> dict[str, Any]:
    """Return what halab's kubelets need of a container, too, and nothing else."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": RESOLV_CONF,
        # Without CAP_SYS_RESOURCE no process may have a score below its parent's.
        "oomScoreAdj": 0,
        # All nodes share the host's disk.
        "evictionHard": {
            "imagefs.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
    }


def _proxy() -> dict[str, Any]:
    """Return kube-proxy's: these sysctls belong to the host; a container may not set them."""
    conntrack = {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "conntrack": conntrack,
    }


def _join(topology: Topology, node: Node, admission: Admission) -> dict[str, Any]:
    # The authority is made by `init`, after these files are laid down; kind does the same.
    discovery = {
        "token": admission.token,
        "apiServerEndpoint": endpoint(topology),
        "unsafeSkipCAVerification": True,
    }
    join = {
        "apiVersion": API,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": discovery},
        "nodeRegistration": _registration(node),
    }
    if node.role is Role.MASTER:
        local = {"advertiseAddress": str(node.ip), "bindPort": KUBERNETES_PORT}
        own = {"localAPIEndpoint": local, "certificateKey": admission.certificate_key}
        join["controlPlane"] = own
    return join


def rendered(parts: list[Any]) -> bytes:
    """Render documents as one file: JSON is YAML."""
    return "\n---\n".join(json.dumps(part, indent=1) for part in parts).encode()


def _meta(kind: str, name: str, *, api: str = "v1", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, **more}}


def flannel(topology: Topology) -> dict[str, Any]:
    """Return flannel's objects as one list, close to its own kube-flannel.yml.

    Its CNI plugin cannot be had from Go modules: halab-cni writes the equal list of plugins.
    """
    space = {"namespace": "kube-system"}
    rbac = "rbac.authorization.k8s.io"
    role = _meta("ClusterRole", "flannel", api=f"{rbac}/v1")
    role["rules"] = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    ]
    binding = _meta("ClusterRoleBinding", "flannel", api=f"{rbac}/v1")
    binding["roleRef"] = {"apiGroup": rbac, "kind": "ClusterRole", "name": "flannel"}
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "flannel", **space}]
    network = {
        "Network": str(topology.kubernetes.pod_cidr),
        "EnableNFTables": False,
        "Backend": {"Type": "vxlan"},
    }
    settings = _meta("ConfigMap", "kube-flannel-cfg", **space)
    settings["data"] = {"net-conf.json": json.dumps(network)}
    account = _meta("ServiceAccount", "flannel", **space)
    items = [account, role, binding, settings, _flannel_set(topology, space)]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _flannel_set(topology: Topology, space: dict[str, str]) -> dict[str, Any]:
    labels = {"app": "flannel"}
    folders = {"run": "/run/flannel", "cni": "/etc/cni/net.d", "lock": "/run/xtables.lock"}
    kinds = {"lock": "FileOrCreate"}
    volumes: list[dict[str, Any]] = [
        {
            "name": name,
            "hostPath": {"path": path, "type": kinds.get(name, "DirectoryOrCreate")},
        }
        for name, path in folders.items()
    ]
    volumes.append({"name": "settings", "configMap": {"name": "kube-flannel-cfg"}})
    mounts = {**folders, "settings": "/etc/kube-flannel"}
    own = {
        name: {"fieldRef": {"fieldPath": f"metadata.{path}"}}
        for name, path in {"POD_NAME": "name", "POD_NAMESPACE": "namespace"}.items()
    }
    # Not by the Service: its rules may not be there yet, and a pod that failed twice waits for ten
    # seconds. kind's own network plugin asks the endpoint, too.
    server = {
        "KUBERNETES_SERVICE_HOST": str(topology.loadbalancer.ip),
        "KUBERNETES_SERVICE_PORT": str(KUBERNETES_PORT),
    }
    run = "halab-cni & exec flannel --kube-subnet-mgr --iface=eth0 --ip-masq"
    container = {
        "name": "kube-flannel",
        "image": f"{REPOSITORY}/flannel:{IMAGE_TAG}",
        "command": ["sh", "-c", run],
        "env": [
            *({"name": name, "valueFrom": source} for name, source in own.items()),
            *({"name": name, "value": value} for name, value in server.items()),
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "50Mi"}},
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()],
    }
    daemons = _meta("DaemonSet", "kube-flannel-ds", api="apps/v1", **space)
    daemons["spec"] = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "hostNetwork": True,
                "priorityClassName": "system-node-critical",
                "serviceAccountName": "flannel",
                "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
                "containers": [container],
                "volumes": volumes,
            },
        },
    }
    return daemons


def node_files(
    topology: Topology, node: Node, admission: Admission, version: str
) -> tuple[File, ...]:
    """Return what lies on a machine before it boots: containerd runs, kubelet is not begun."""
    own = documents(topology, node, admission, version)
    system = "/etc/systemd/system"
    return (
        File(path=CONFIG, content=rendered(own), mode=0o600),
        # The container's own names Docker's resolver, which no pod can reach.
        File(path=RESOLV_CONF, content=f"nameserver {node.ip}\n".encode()),
        File(path=FLANNEL_FILE, content=rendered([flannel(topology)])),
        File(path="/etc/containerd/config.toml", content=containerd_config(topology)),
        File(path=f"{system}/containerd.service", content=units.containerd()),
        File(path=f"{system}/kubelet.service", content=KUBELET_UNIT.encode()),
        *unit_links("containerd.service"),
    )
