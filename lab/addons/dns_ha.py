"""dns-ha: CoreDNS, three replicas on three different nodes, at the address that kubelets hand to pods.

The reference installation's DNS: required anti-affinity, so that one dead node never takes more than one replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.addons import Addon
from lab.addons._objects import workload
from lab.errors import LabError
from lab.wait import Observation

if TYPE_CHECKING:
    from lab.addons import Site
    from lab.topology.model import Topology

IMAGE = "coredns/coredns:1.14.6"
"""images/versions.yaml names it; a unit test holds the two together."""
REPLICAS = 3
SPACE = "kube-system"
SELECTOR = {"k8s-app": "kube-dns"}
LEAVE_AFTER_S = 10
"""A replica leaves a dead node ten seconds after the node is known to be dead; five minutes by default."""


def replicas(topology: Topology) -> int:
    """Three, or one on each node where there are fewer."""
    return min(REPLICAS, len(topology.nodes))


def corefile(topology: Topology) -> str:
    """Render the Corefile. Without `dns_forward`, names outside the cluster are answered NXDOMAIN: at once, and never in a loop.

    Two server blocks, because within one the plugins' order is fixed and `template` would answer before `kubernetes`.
    """
    servers = " ".join(map(str, topology.kubernetes.dns_forward))
    outside = f"forward . {servers} {{\n        max_concurrent 1000\n    }}" if servers else "template ANY ANY {\n        rcode NXDOMAIN\n    }"
    return f"""cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    errors
    health {{
        # Goes on answering while it is taken out of the Service: a replica that is deleted costs no query.
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


def _meta(name: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"name": name, "namespace": SPACE, "labels": {**SELECTOR, "app.kubernetes.io/managed-by": "halab"}, **more}


def _rights() -> tuple[dict[str, Any], ...]:
    api = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    name = {"name": "system:coredns"}
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": SPACE}
    role = {"apiGroup": api, "kind": "ClusterRole", "name": "system:coredns"}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")},
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules},
        {"apiVersion": f"{api}/v1", "kind": "ClusterRoleBinding", "metadata": name, "roleRef": role, "subjects": [subject]},
    )


def _tolerations() -> list[dict[str, Any]]:
    quick = [
        {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": LEAVE_AFTER_S}
        for word in ("not-ready", "unreachable")
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
        "livenessProbe": {**probe("/health", 8080, initialDelaySeconds=30, timeoutSeconds=5, failureThreshold=5), "periodSeconds": 10},
        # Every second: it costs nothing, and a start waits for it.
        "readinessProbe": probe("/ready", 8181, failureThreshold=3),
        # NET_BIND_SERVICE: port 53 is below 1024. Nothing else is needed.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _deployment(topology: Topology) -> dict[str, Any]:
    apart = {"labelSelector": {"matchLabels": SELECTOR}, "topologyKey": "kubernetes.io/hostname"}
    pod = {
        "priorityClassName": "system-cluster-critical",
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "tolerations": _tolerations(),
        # Lameduck (5 s) fits in, and a stop does not wait for longer than it must.
        "terminationGracePeriodSeconds": 10,
        "containers": [_container()],
        "volumes": [{"name": "config", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}],
    }
    # With required anti-affinity an update needs a node to be given up first.
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    return workload("Deployment", _meta("coredns"), SELECTOR, pod, replicas=replicas(topology), revisionHistoryLimit=1, strategy=strategy)


def _service(topology: Topology) -> dict[str, Any]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    address = str(topology.kubernetes.cluster_dns)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta("kube-dns"),
        "spec": {"clusterIP": address, "clusterIPs": [address], "selector": SELECTOR, "ports": ports},
    }


class DnsHa(Addon):
    """CoreDNS as an Addon."""

    name = "dns-ha"
    summary = "the cluster's DNS: three CoreDNS replicas on three different nodes"
    core = True

    def manifests(self, site: Site) -> tuple[dict[str, Any], ...]:
        """Rights, configuration, Service, Deployment, disruption budget."""
        topology = site.topology
        budget = {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _meta("coredns"),
            "spec": {"minAvailable": max(1, replicas(topology) - 1), "selector": {"matchLabels": SELECTOR}},
        }
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("coredns"), "data": {"Corefile": corefile(topology)}}
        return (*_rights(), config, _service(topology), _deployment(topology), budget)

    def ready(self, site: Site) -> Observation:
        """All replicas are ready, and the last node of the file resolves a name through the Service's address."""
        topology = site.topology
        try:
            status = site.cluster.get(f"/apis/apps/v1/namespaces/{SPACE}/deployments/coredns")["status"]
        except LabError as error:
            return Observation(ok=False, seen=error.message)
        count, wanted = status.get("readyReplicas", 0), replicas(topology)
        if count < wanted:
            return Observation(ok=False, seen=f"{count} of {wanted} CoreDNS replicas ready")
        asker, address = topology.nodes[-1].name, str(topology.kubernetes.cluster_dns)
        lookup = site.node(asker).run(["busybox", "nslookup", "kubernetes.default.svc.cluster.local", address], check=False, timeout_s=2)
        if lookup.code != 0:
            return Observation(ok=False, seen=f"{asker} gets no answer from {address} yet")
        return Observation(ok=True, seen=f"{count} replicas ready, {address} answers {asker}")


ADDON = DnsHa()
