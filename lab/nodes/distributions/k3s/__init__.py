"""K3s, the reference distribution, as a Distribution.

The first master founds the cluster; all other nodes then join it together. Written from K3s's
documentation and source.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.base.wait import Observation
from lab.engine.files import File, unit_links
from lab.nodes import etcd, limits, registries
from lab.nodes.distributions import Client, HealthCheck
from lab.nodes.distributions.k3s import config as k3s_config
from lab.nodes.files import resolv_conf
from lab.topology.model import KUBERNETES_PORT, Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.engine.node import NodeHandle
    from lab.kube.secrets import Pair, Secrets
    from lab.topology.model import Node, Topology

DATA = "/var/lib/rancher/k3s"
TLS = f"{DATA}/server/tls"
CONFIG = "/etc/rancher/k3s"
NODE_FILE = f"{CONFIG}/config.yaml.d/20-node.yaml"
KUBELET_FOLDER = f"{DATA}/agent/etc/kubelet.conf.d"
KUBELET_FILE = f"{KUBELET_FOLDER}/90-halab.conf"
"""Sorts after K3s's own 00-k3s-defaults.conf, and so wins (its pkg/daemons/agent, since 1.32)."""
NODE_PASSWORD = "/etc/rancher/node/password"  # noqa: S105 (a place)
AUTHORITIES = {
    "server-ca": "ca",
    "client-ca": "client-ca",
    "request-header-ca": "front-proxy-ca",
    "etcd/server-ca": "etcd-ca",
    "etcd/peer-ca": "etcd-peer-ca",
}
"""K3s's file → the lab's secret. The first master gets all of them before its first start; joiners
fetch them from it."""


def node_password(secrets: Secrets, name: str) -> bytes:
    """Return the password by which a node proves its name: 32 hexadecimal digits.

    Servers keep the hash of the first one they see, and K3s would make up a random one. Ours is
    known before the boot, so a node whose container was removed and made again is not refused as a
    stranger.
    """
    return hmac.new(secrets.files["agent-token"], name.encode(), "sha256").hexdigest()[:32].encode()


@dataclass(frozen=True, slots=True)
class K3s:
    """K3s as a Distribution."""

    name: str = "k3s"
    image: str = "k3s"
    admin_kubeconfig: str = f"{CONFIG}/k3s.yaml"
    datastore: str = f"{DATA}/server/db/etcd/member/wal"
    joins_itself: bool = True
    master_moves: bool = False
    """K3s ends if etcd's list of members has not its own address (pkg/etcd/etcd.go, "this server
    is a not a member of the etcd cluster")."""
    health: HealthCheck = HealthCheck(  # noqa: RUF009 (frozen: shared by all instances on purpose)
        # With a certificate: K3s lets nobody ask anonymously.
        url=f"https://127.0.0.1:{KUBERNETES_PORT}/readyz",
        ca=f"{TLS}/server-ca.crt",
        certificate=f"{TLS}/client-admin.crt",
        key=f"{TLS}/client-admin.key",
    )
    etcd_client: Client = Client(  # noqa: RUF009
        ca=f"{TLS}/etcd/server-ca.crt",
        certificate=f"{TLS}/etcd/client.crt",
        key=f"{TLS}/etcd/client.key",
        # `listen-client-http-urls` is set to it (K3s: pkg/etcd/etcd.go), and so 2379 serves gRPC
        # only.
        port=2382,
    )

    def volumes(self, node: Node) -> dict[str, str]:
        """Return two volumes: K3s's state and kubelet's.

        K3s's containerd makes overlays there, which cannot live on the container's own overlay.
        """
        del node
        return {"k3s": DATA, "kubelet": "/var/lib/kubelet"}

    def files(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        """Return configuration and unit, and on the first master the certificate authorities."""
        shared = (
            File(path=k3s_config.RESOLV_CONF, content=resolv_conf(topology, node)),
            File(path=NODE_PASSWORD, content=node_password(secrets, node.name), mode=0o600),
            File(
                path=f"{DATA}/agent/etc/containerd/config-v3.toml.d/10-halab.toml",
                content=k3s_config.CONTAINERD,
            ),
            File(path=KUBELET_FILE, content=k3s_config.kubelet()),
        )
        role, unit = ("server", "k3s") if node.role is Role.MASTER else ("agent", "k3s-agent")
        units = (
            File(path=f"/etc/systemd/system/{unit}.service", content=k3s_config.unit(role)),
            File(
                path=f"/etc/systemd/system/{unit}.service.d/10-halab.conf",
                content=k3s_config.DROP_IN,
            ),
            *unit_links(f"{unit}.service"),
        )
        own = (
            self._master(topology, node, secrets)
            if node.role is Role.MASTER
            else self._agent(topology, node, secrets)
        )
        reserved = limits.files(node, unit, KUBELET_FOLDER)
        return (*shared, *own, *units, *reserved, *self._registries(topology))

    def _registries(self, topology: Topology) -> tuple[File, ...]:
        own = topology.kubernetes.registries
        if not own:
            return ()
        content = registries.k3s(own)
        file = File(path=f"{CONFIG}/registries.yaml", content=content, mode=0o600)
        return (file, *registries.authorities(own))

    def _master(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        common = k3s_config.render_master(k3s_config.common(topology, secrets))
        own = k3s_config.render_master(k3s_config.master(topology, node))
        files = (
            File(path=f"{CONFIG}/config.yaml.d/10-common.yaml", content=common, mode=0o600),
            File(path=NODE_FILE, content=own, mode=0o600),
        )
        return (*files, *self._authorities(secrets)) if node == topology.masters[0] else files

    def _agent(self, topology: Topology, node: Node, secrets: Secrets) -> tuple[File, ...]:
        content = k3s_config.render_agent(k3s_config.agent(topology, node, secrets))
        return (File(path=f"{CONFIG}/config.yaml", content=content, mode=0o600),)

    def _authorities(self, secrets: Secrets) -> tuple[File, ...]:
        """Return the certificate authorities as files of K3s.

        With authorities of our own, the kubeconfig is known before the boot (K3s: cli/certificate,
        generate-custom-ca-certs.sh).
        """
        files: list[File] = []
        for path, name in AUTHORITIES.items():
            pair = secrets.authority(name)
            files += (
                File(path=f"{TLS}/{path}.crt", content=pair.certificate),
                File(path=f"{TLS}/{path}.key", content=pair.key, mode=0o600),
            )
        return tuple(files)

    def rejoining(self, topology: Topology, node: Node, keeper: Node) -> tuple[File, ...]:
        """Return a configuration that joins, even for the first master.

        With `cluster-init` alone it would found a second cluster.
        """
        content = k3s_config.render_master(k3s_config.rejoining(topology, node, keeper))
        return (File(path=NODE_FILE, content=content, mode=0o600),)

    def waves(self, topology: Topology) -> tuple[tuple[Node, ...], ...]:
        """Return the first master, then all others: its etcd takes several learners.

        `config.common` says why.
        """
        first, *others = topology.nodes
        return ((first,), tuple(others)) if others else ((first,),)

    def admits(self, node: NodeHandle) -> Observation:
        """Whether the founder's etcd votes and has a leader.

        K3s serves joiners from before it starts etcd. Joiners that come earlier exit and are
        restarted every 2 s (pkg/cluster/bootstrap.go). The sooner they are learners the better:
        the next promotion is 15 s after etcd's start.
        """
        return self.joined(node)

    def joined(self, node: NodeHandle) -> Observation:
        """Whether a master votes in etcd; its API server starts only then.

        Its etcd is asked. K3s's node condition EtcdIsVoter follows 15 s later: it is written on
        the tick after the one that promotes (pkg/etcd/etcd.go, manageLearners).
        """
        ok, detail = etcd.voter(node, self.etcd_client)
        return Observation(ok=ok, detail=detail)

    def settle(self, topology: Topology, run: Callable[[str], NodeHandle]) -> None:
        """Tell the first master where the others are, once it has data.

        Told earlier, it would join instead of founding the cluster.
        """
        first = topology.masters[0]
        node = run(first.name)
        if node.has(self.datastore):
            config = k3s_config.master(topology, first, booted=True)
            content = k3s_config.render_master(config)
            node.put([File(path=NODE_FILE, content=content, mode=0o600)])

    def manifests(self, topology: Topology) -> tuple[dict[str, Any], ...]:
        """Return nothing: K3s brings its own objects."""
        del topology
        return ()

    def admin(self, secrets: Secrets) -> Pair:
        """Issue the administrator's certificate.

        K3s's client authority signs it; `admin.crt` among the secrets is signed by another.
        """
        from lab.kube.pki import ADMIN_GROUP, issue

        return issue(secrets.authority("client-ca"), "halab-admin", organisations=(ADMIN_GROUP,))

    def client(self, secrets: Secrets, user: str) -> Pair:
        """Issue a user's certificate, signed by K3s's client authority."""
        from lab.kube.pki import issue

        return issue(secrets.authority("client-ca"), user)

    def server_authority(self, secrets: Secrets) -> bytes:
        """Return the lab's `ca`, which is K3s's server authority."""
        return secrets.files["ca.crt"]


DISTRIBUTION = K3s()
