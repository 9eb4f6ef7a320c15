"""dns-ha: CoreDNS, three replicas on three nodes, at the address that kubelets give to pods.

The reference installation's DNS: anti-affinity is required, so that one dead node never takes more
than one replica. And one more CoreDNS on every node, which answers the pods there at the Service's
address. Without it, a dead node's replica would get a third of all questions until Kubernetes calls
the node not ready; so no node asks another one while its own CoreDNS is ready.

Upstream's NodeLocal DNSCache does the same with an address of its own on a dummy interface and
rules that hide it from kube-proxy; a cache that is killed leaves them behind, and its node without
DNS. Here kube-proxy does it (`trafficDistribution: PreferSameNode`): if the node's own CoreDNS is
not ready, the others answer. And each gets the cluster's names from the API by itself: there is no
upstream server that could be lost. It takes 9 MiB of memory (anonymous, measured) on each node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.addons.addon import Addon
from lab.addons.objects import workload
from lab.base.errors import LabError
from lab.base.wait import Observation
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext
    from lab.topology.model import Topology

IMAGE = "coredns/coredns:1.14.6"
"""Named in images/versions.yaml; a unit test compares the two."""
REPLICAS = 3
SPACE = "kube-system"
SELECTOR = {"k8s-app": "kube-dns"}
NODE_SELECTOR = {"k8s-app": "node-dns"}
ANSWERS = {"app.kubernetes.io/component": "cluster-dns"}
"""What the Service selects: the replicas, and the nodes' own."""
SAME_NODE_SINCE = (1, 34)
"""The first Kubernetes with `PreferSameNode` on by default (KEP 3015); older ones refuse it."""
LEAVE_AFTER_S = 10
"""A replica leaves a dead node ten seconds after the node is known to be dead (by default after
five minutes)."""


def replicas(topology: Topology) -> int:
    """Return three, or the number of nodes if there are fewer."""
    return min(REPLICAS, len(topology.nodes))


def on_every_node(topology: Topology, *, prefers: bool) -> bool:
    """Whether each node gets a CoreDNS of its own: not if every node has a replica anyway.

    `prefers`: kube-proxy can prefer it.
    """
    return prefers and len(topology.nodes) > replicas(topology)


def corefile(topology: Topology) -> str:
    """Return the Corefile.

    Without `dns_forward`, names outside the cluster are answered with NXDOMAIN: at once, and never
    in a loop. It has two server blocks: within one the plugins' order is fixed, and `template`
    would answer before `kubernetes`.
    """
    servers = " ".join(map(str, topology.kubernetes.dns_forward))
    outside = (
        f"forward . {servers} {{\n        max_concurrent 1000\n    }}"
        if servers
        else "template ANY ANY {\n        rcode NXDOMAIN\n    }"
    )
    return f"""cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    errors
    health {{
        # Goes on answering while it is taken out of the Service: \
a replica that is deleted costs no query.
        lameduck 5s
    }}
    ready
    kubernetes {{
        pods insecure
        ttl 30
    }}
    prometheus :9153
    cache 30
    loadbalance
}}
.:53 {{
    errors
    {outside}
    prometheus :9153
    cache 30
}}
"""


def _meta(name: str, selector: dict[str, str] = SELECTOR) -> dict[str, Any]:
    labels = {**selector, "app.kubernetes.io/managed-by": "halab"}
    return {"name": name, "namespace": SPACE, "labels": labels}


def _rights() -> tuple[dict[str, Any], ...]:
    api = "rbac.authorization.k8s.io"
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        },
    ]
    name = {"name": "system:coredns"}
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": SPACE}
    role = {"apiGroup": api, "kind": "ClusterRole", "name": "system:coredns"}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")},
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": name,
            "roleRef": role,
            "subjects": [subject],
        },
    )


def _tolerations() -> list[dict[str, Any]]:
    quick = [
        {
            "key": f"node.kubernetes.io/{condition}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LEAVE_AFTER_S,
        }
        for condition in ("not-ready", "unreachable")
    ]
    # On masters too: with a worker down there must still be three nodes to spread over.
    return [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}, *quick]


def _container() -> dict[str, Any]:
    def probe(path: str, port: int, **more: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, **more}

    return {
        "name": "coredns",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"containerPort": 53, "name": "dns", "protocol": "UDP"},
            {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
            {"containerPort": 9153, "name": "metrics", "protocol": "TCP"},
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "170Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "livenessProbe": {
            **probe("/health", 8080, initialDelaySeconds=30, timeoutSeconds=5, failureThreshold=5),
            "periodSeconds": 10,
        },
        # Every second: that costs nothing, and a start waits for it.
        "readinessProbe": probe("/ready", 8181, failureThreshold=3),
        # NET_BIND_SERVICE: port 53 is below 1024. Nothing else is needed.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _pod(**more: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    items = [{"key": "Corefile", "path": "Corefile"}]
    return {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        # Longer than lameduck (5 s); and a stop does not wait longer than it must.
        "terminationGracePeriodSeconds": 10,
        "containers": [_container()],
        "volumes": [{"name": "config", "configMap": {"name": "coredns", "items": items}}],
        **more,
    }


def _deployment(topology: Topology) -> dict[str, Any]:
    apart = {"labelSelector": {"matchLabels": SELECTOR}, "topologyKey": "kubernetes.io/hostname"}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    pod = _pod(
        priorityClassName="system-cluster-critical",
        affinity={"podAntiAffinity": required},
        tolerations=_tolerations(),
    )
    # With required anti-affinity, an old pod must leave its node before a new one can start there.
    return workload(
        "Deployment",
        _meta("coredns"),
        SELECTOR,
        pod,
        ANSWERS,
        replicas=replicas(topology),
        revisionHistoryLimit=1,
        strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
    )


def _daemon_set() -> dict[str, Any]:
    # node-critical: if a node runs out of memory, the kernel kills it last.
    pod = _pod(priorityClassName="system-node-critical", tolerations=[{"operator": "Exists"}])
    # The new pod answers before the old one ends: an update costs no question.
    update = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    return workload(
        "DaemonSet",
        _meta("node-dns", NODE_SELECTOR),
        NODE_SELECTOR,
        pod,
        ANSWERS,
        revisionHistoryLimit=1,
        updateStrategy=update,
    )


def _service(topology: Topology, *, prefers: bool) -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    address = str(topology.kubernetes.cluster_dns)
    spec = {"clusterIP": address, "clusterIPs": [address], "selector": ANSWERS, "ports": ports}
    if prefers:
        spec["trafficDistribution"] = "PreferSameNode"
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta("kube-dns"), "spec": spec}


class DnsHa(Addon):
    """CoreDNS as an Addon."""

    name = "dns-ha"
    summary = "the cluster's DNS: three CoreDNS replicas on three nodes, and one on every node"
    core = True

    def manifests(self, site: AddonContext) -> tuple[dict[str, Any], ...]:
        """Return rights, configuration, Service, Deployment, disruption budget, DaemonSet."""
        topology, prefers = site.topology, site.at_least(SAME_NODE_SINCE)
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _meta("coredns"),
            "spec": {
                "minAvailable": max(1, replicas(topology) - 1),
                "selector": {"matchLabels": SELECTOR},
            },
        }
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _meta("coredns"),
            "data": {"Corefile": corefile(topology)},
        }
        own = (_daemon_set(),) if on_every_node(topology, prefers=prefers) else ()
        service = _service(topology, prefers=prefers)
        return (*_rights(), config, service, _deployment(topology), budget, *own)

    def ready(self, site: AddonContext) -> Observation:
        """Whether all are ready, and the file's last node resolves a name by the Service."""
        topology = site.topology
        try:
            complete, counts = self._count(site)
        except LabError as error:
            return Observation(ok=False, detail=error.message)
        if not complete:
            return Observation(ok=False, detail=counts)
        asker, address = topology.nodes[-1].name, str(topology.kubernetes.cluster_dns)
        argv = ["busybox", "nslookup", "kubernetes.default.svc.cluster.local", address]
        lookup = site.node(asker).run(argv, check=False, timeout_s=2)
        if lookup.code != 0:
            return Observation(ok=False, detail=f"{asker} gets no answer from {address} yet")
        return Observation(ok=True, detail=f"{counts}, {address} answers {asker}")

    def _count(self, site: AddonContext) -> tuple[bool, str]:
        """Return whether all are ready, and how many are, as text. Raises LabError."""
        apps = f"/apis/apps/v1/namespaces/{SPACE}"
        status = site.cluster.get(f"{apps}/deployments/coredns")["status"]
        ready, expected = status.get("readyReplicas", 0), replicas(site.topology)
        counts = f"{ready} of {expected} CoreDNS replicas ready"
        prefers = site.at_least(SAME_NODE_SINCE)
        if ready < expected or not on_every_node(site.topology, prefers=prefers):
            return ready >= expected, counts
        status = site.cluster.get(f"{apps}/daemonsets/node-dns")["status"]
        nodes = sum(node_ready(node)[0] for node in site.cluster.nodes().values())
        ready = status.get("numberReady", 0)
        return ready >= nodes, f"{counts}, on {ready} of {nodes} nodes their own"


ADDON = DnsHa()
