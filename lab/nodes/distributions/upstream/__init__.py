"""Upstream Kubernetes as a Distribution: K3s's parts, each in a systemd unit of its own.

All masters start at once; none is special.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.wait import Observation
from lab.engine.files import File, unit_links
from lab.kube import kubeconfig
from lab.kube.secrets import Pair
from lab.nodes import limits, registries
from lab.nodes.distributions import HEALTH_USER, Client, HealthCheck
from lab.nodes.distributions.upstream import units as kubeunits
from lab.nodes.distributions.upstream.config import containerd_config, kubelet_config
from lab.nodes.distributions.upstream.units import ETCD, K8S
from lab.nodes.files import resolv_conf
from lab.topology.model import KUBERNETES_PORT, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.engine.node import NodeHandle
    from lab.kube.secrets import Secrets
    from lab.topology.model import Node, Topology

NODE_UNITS = ("containerd", "kubelet", "kube-proxy", "flannel")
MASTER_UNITS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
FLANNEL_USER = "flannel"
KUBELET_CLIENT = "kube-apiserver-kubelet-client"


def component_kubeconfig(authority: bytes, server: str, pair: Pair) -> bytes:
    """Render a component's kubeconfig as JSON, which is YAML. Nobody uses the names in it."""
    config = kubeconfig.render(server, authority, pair, cluster="lab", user="me")
    return json.dumps(config, indent=1).encode()


def _secret(path: str, content: bytes) -> File:
    return File(path=path, content=content, mode=0o600)


def _pair(folder: str, name: str, pair: Pair) -> tuple[File, ...]:
    certificate = File(path=f"{folder}/{name}.crt", content=pair.certificate)
    return certificate, _secret(f"{folder}/{name}.key", pair.key)


def _kubeconfigs(authority: Pair, server: str, users: dict[str, Pair]) -> tuple[File, ...]:
    return tuple(
        _secret(f"{K8S}/{name}.conf", component_kubeconfig(authority.certificate, server, pair))
        for name, pair in users.items()
    )


def _unit(name: str, content: bytes) -> File:
    return File(path=f"/etc/systemd/system/{name}.service", content=content)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Upstream Kubernetes as a Distribution."""

    name: str = "upstream"
    image: str = "upstream"
    admin_kubeconfig: str = "/root/.kube/config"
    datastore: str = "/var/lib/etcd/data/member/wal"
    joins_itself: bool = False
    master_moves: bool = True
    """A lone etcd needs no peer: it starts under any address, with the members of its data."""
    health: HealthCheck = HealthCheck(  # noqa: RUF009 (frozen: shared by all instances on purpose)
        url=f"https://127.0.0.1:{KUBERNETES_PORT}/readyz",
        ca=f"{K8S}/ca.crt",
        certificate=f"{K8S}/health.crt",
        key=f"{K8S}/health.key",
    )
    etcd_client: Client = Client(  # noqa: RUF009
        ca=f"{ETCD}/ca.crt",
        certificate=f"{ETCD}/etcd.crt",
        key=f"{ETCD}/etcd.key",
        # `listen-client-urls` serves gRPC and the gateway, unless the gateway has a URL of its own.
        port=2379,
    )

    def volumes(self, node: Node) -> dict[str, str]:
        """Return the volumes of containerd and kubelet, and on a master etcd's.

        overlayfs cannot stand on the container's own; etcd's data are the machine's disk.
        """
        paths = {"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet"}
        return {**paths, "etcd": "/var/lib/etcd"} if node.role is Role.MASTER else paths

    def files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        """Return configuration, credentials and units: a node's, and a master's control plane's."""
        master = node.role is Role.MASTER
        units = (*NODE_UNITS, *MASTER_UNITS) if master else NODE_UNITS
        links = unit_links(*(f"{unit}.service" for unit in units))
        return (
            *self._node_files(topology, node, secrets),
            *(self._master_files(topology, node, secrets) if master else ()),
            *links,
        )

    def _node_files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        from lab.kube.pki import issue

        authority = secrets.authority("ca")
        # A master uses its own API server, which another master's death does not touch; a worker
        # uses the floating address.
        host = node.ip if node.role is Role.MASTER else topology.network.vip
        server = f"https://{host}:{KUBERNETES_PORT}"
        users = {
            "kubelet": issue(
                authority, f"system:node:{node.name}", organisations=("system:nodes",)
            ),
            "kube-proxy": issue(authority, "system:kube-proxy"),
            "flannel": issue(authority, FLANNEL_USER),
        }
        network = {
            "Network": str(topology.kubernetes.pod_cidr),
            "EnableNFTables": False,
            "Backend": {"Type": "vxlan"},
        }
        return (
            File(path=f"{K8S}/ca.crt", content=authority.certificate),
            *_kubeconfigs(authority, server, users),
            *_pair(K8S, "flannel", users["flannel"]),
            *_pair(K8S, "kubelet", issue(authority, node.name, names=(node.name, str(node.ip)))),
            File(path=f"{K8S}/kubelet.yaml", content=kubelet_config(topology, node)),
            File(path=f"{K8S}/resolv.conf", content=resolv_conf(topology, node)),
            *self._containerd(topology),
            File(path="/etc/kube-flannel/net-conf.json", content=json.dumps(network).encode()),
            _unit("containerd", kubeunits.containerd()),
            _unit("kubelet", kubeunits.kubelet(topology, node)),
            _unit("kube-proxy", kubeunits.kube_proxy(topology, node)),
            _unit("flannel", kubeunits.flannel(node, server)),
            *limits.files(node, "kubelet", kubeunits.KUBELET_FOLDER),
        )

    def _containerd(self, topology: Topology) -> tuple[File, ...]:
        own, path = topology.kubernetes.registries, "/etc/containerd/config.toml"
        mode = 0o600 if own else 0o644
        config = File(path=path, content=containerd_config(topology), mode=mode)
        return (config, *registries.authorities(own), *registries.hosts(own))

    def _master_files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        from lab.kube.pki import issue

        authority, etcd, proxy = (
            secrets.authority(name) for name in ("ca", "etcd-ca", "front-proxy-ca")
        )
        own = (node.name, str(node.ip), "127.0.0.1", "localhost")
        service = "kubernetes.default.svc.cluster.local"
        names = (*topology.api_names, *own, *(service.rsplit(".", cut)[0] for cut in range(5)))
        server = f"https://{node.ip}:{KUBERNETES_PORT}"
        managers = {
            name: issue(authority, f"system:kube-{name}")
            for name in ("controller-manager", "scheduler")
        }
        admin = Pair(secrets.files["admin.key"], secrets.files["admin.crt"])
        return (
            File(path=f"{ETCD}/ca.crt", content=etcd.certificate),
            *_pair(ETCD, "etcd", issue(etcd, node.name, names=own)),
            *_pair(K8S, "apiserver", issue(authority, "kube-apiserver", names=names)),
            *_pair(K8S, "kubelet-client", issue(authority, KUBELET_CLIENT)),
            *_pair(K8S, "health", self.client(secrets, HEALTH_USER)),
            *_pair(K8S, "front-proxy-client", issue(proxy, "front-proxy-client")),
            File(path=f"{K8S}/front-proxy-ca.crt", content=proxy.certificate),
            _secret(f"{K8S}/sa.key", secrets.files["sa.key"]),
            File(path=f"{K8S}/sa.pub", content=secrets.files["sa.pub"]),
            _secret(f"{K8S}/ca.key", authority.key),
            *_kubeconfigs(authority, server, managers),
            _secret(
                "/root/.kube/config", component_kubeconfig(authority.certificate, server, admin)
            ),
            _unit("etcd", kubeunits.etcd(topology, node)),
            _unit("kube-apiserver", kubeunits.apiserver(topology, node)),
            _unit("kube-controller-manager", kubeunits.controller_manager(topology, node)),
            _unit("kube-scheduler", kubeunits.scheduler(topology, node)),
        )

    def waves(self, topology: Topology) -> tuple[tuple[Node, ...], ...]:
        """Return one wave of all nodes: the members of etcd are known beforehand."""
        return (topology.nodes,)

    def admits(self, node: NodeHandle) -> Observation:
        """Whether others may join: always, since no later wave could wait."""
        return Observation(ok=True, detail=f"{node.name} needs no order")

    def joined(self, node: NodeHandle) -> Observation:
        """Whether a master is a voter of etcd: it is one from the beginning."""
        return Observation(ok=True, detail=f"{node.name} is a voter")

    def rejoining(self, topology: Topology, node: Node, keeper: Node) -> tuple[File, ...]:
        """Return a unit whose etcd joins the members, who know it, and founds no cluster."""
        del keeper
        return (_unit("etcd", kubeunits.etcd(topology, node, state="existing")),)

    def settle(self, topology: Topology, run: Callable[[str], NodeHandle]) -> None:
        """Do nothing: the first boot leaves nothing to do."""

    def admin(self, secrets: Secrets) -> Pair:
        """Return the administrator's certificate that is among every lab's secrets."""
        return Pair(secrets.files["admin.key"], secrets.files["admin.crt"])

    def client(self, secrets: Secrets, user: str) -> Pair:
        """Issue a user's certificate, signed by Kubernetes' one authority."""
        from lab.kube.pki import issue

        return issue(secrets.authority("ca"), user)

    def server_authority(self, secrets: Secrets) -> bytes:
        """Return Kubernetes' one authority, which signs server and client certificates."""
        return secrets.files["ca.crt"]

    def manifests(self, topology: Topology) -> tuple[dict[str, Any], ...]:
        """Return the rights that kubeadm and K3s grant, too.

        The API server may use kubelets, and flannel may use nodes.
        """
        del topology
        return _rights()


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    api = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": api, "kind": "User", "name": user}],
    }


def _rights() -> tuple[dict[str, Any], ...]:
    flannel = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "flannel"},
        "rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
        ],
    }
    # system:kubelet-api-admin exists in every cluster and is bound to nobody.
    return (
        flannel,
        _binding("flannel", "flannel", FLANNEL_USER),
        _binding("halab:kubelet-client", "system:kubelet-api-admin", KUBELET_CLIENT),
    )


DISTRIBUTION = Upstream()
