"""The values for Prometheus's chart: what is scraped in a lab, and the alerts.

Pure; the same for halab's chart and prometheus-community's. Alerts have the names of the etcd and
Kubernetes mixins if these have them. Their times fit a lab: a crash is over before the mixins'
minutes have passed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.addons.catalog.prometheus.rules import GROUPS
from lab.base.hashing import digest
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology

RELEASE = "prometheus"
SPACE = "default"
"""Where `helm install prometheus …` without a namespace puts it, so that `kubectl expose deployment
prometheus-server` finds it."""
SERVER = f"{RELEASE}-server"
NGINX_EXPORTER = f"{RELEASE}-nginx-exporter"
ETCD_PORT, NODE_PORT, CLUSTER_PORT, DNS_PORT, KUBELET_PORT, NGINX_PORT, STATE_PORT = (
    2381,
    9100,
    9664,
    9153,
    10250,
    9113,
    8080,
)
IMAGES = {
    "server": ("quay.io/prometheus/prometheus", "v2.53.3"),
    "alertmanager": ("quay.io/prometheus/alertmanager", "v0.28.1"),
    "kube-state-metrics": ("registry.k8s.io/kube-state-metrics/kube-state-metrics", "v2.20.0"),
    "prometheus-node-exporter": ("quay.io/prometheus/node-exporter", "v1.9.0"),
    "nginx": ("nginx/nginx-prometheus-exporter", "1.4.1"),
}
"""Named in images/versions.yaml; a unit test compares them."""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
QUICK = [
    {
        "key": f"node.kubernetes.io/{condition}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 10,
    }
    for condition in ("not-ready", "unreachable")
]
"""A pod leaves a dead node ten seconds after the node is known to be dead: alerts about a crash
must not wait for what sends them."""
HISTOGRAMS = {
    "source_labels": ["__name__"],
    "regex": "(apiserver|etcd|workqueue|rest_client|scheduler).*_bucket",
    "action": "drop",
}
"""Two thirds of an API server's series: no alert and no page of a lab needs them."""


def _by_name(nodes: tuple[Node, ...], port: int) -> list[dict[str, Any]]:
    """Return fixed targets: a machine that dies stays one, and is seen to be down."""
    return [{"targets": [f"{node.ip}:{port}"], "labels": {"node": node.name}} for node in nodes]


def _secure() -> dict[str, Any]:
    """Return HTTPS with the cluster's authority, as the server's own account."""
    return {
        "scheme": "https",
        "tls_config": {"ca_file": f"{ACCOUNT}/ca.crt"},
        "authorization": {"credentials_file": f"{ACCOUNT}/token"},
    }


def _nodes(port: int) -> dict[str, Any]:
    """Return a target at each node of the cluster, named after it."""
    address = {
        "source_labels": ["__meta_kubernetes_node_address_InternalIP"],
        "target_label": "__address__",
        "replacement": f"$1:{port}",
    }
    name = {"source_labels": ["__meta_kubernetes_node_name"], "target_label": "node"}
    return {"kubernetes_sd_configs": [{"role": "node"}], "relabel_configs": [address, name]}


def _pods(space: str, label: str, value: str, port: int) -> dict[str, Any]:
    """Return a target at each pod with a label."""
    keep = {
        "source_labels": [f"__meta_kubernetes_pod_label_{label}"],
        "regex": value,
        "action": "keep",
    }
    one = {
        "source_labels": ["__meta_kubernetes_pod_container_port_number"],
        "regex": str(port),
        "action": "keep",
    }
    names = [
        {"source_labels": [f"__meta_kubernetes_pod_{source}"], "target_label": to}
        for source, to in (("node_name", "node"), ("name", "pod"))
    ]
    where = [{"role": "pod", "namespaces": {"names": [space]}}]
    return {"kubernetes_sd_configs": where, "relabel_configs": [keep, one, *names]}


def jobs(topology: Topology) -> list[dict[str, Any]]:
    """Return the scrape configurations; none is named like one of prometheus-community's chart."""
    masters = topology.masters
    server = {
        "job_name": "apiserver",
        "scrape_interval": "10s",
        **_secure(),
        "metric_relabel_configs": [HISTOGRAMS],
    }
    return [
        {**server, "static_configs": _by_name(masters, KUBERNETES_PORT)},
        {"job_name": "etcd", "static_configs": _by_name(masters, ETCD_PORT)},
        {"job_name": "kubelet", **_secure(), **_nodes(KUBELET_PORT)},
        {
            "job_name": "cadvisor",
            "scrape_interval": "15s",
            "metrics_path": "/metrics/cadvisor",
            **_secure(),
            **_nodes(KUBELET_PORT),
        },
        {"job_name": "node-exporter", "scrape_interval": "10s", **_nodes(NODE_PORT)},
        {"job_name": "coredns", **_pods("kube-system", "k8s_app", "kube-dns", DNS_PORT)},
        {
            "job_name": "kube-state-metrics",
            # Its own labels count: `node` is the node that a series describes.
            "honor_labels": True,
            **_pods(SPACE, "app_kubernetes_io_name", "kube-state-metrics", STATE_PORT),
        },
        # Each question costs a master a tenth of a second of a core: crm_mon and cibadmin.
        {
            "job_name": "pacemaker",
            "honor_labels": True,
            "scrape_interval": "10s",
            "static_configs": _by_name(masters, CLUSTER_PORT),
        },
        {
            "job_name": "nginx",
            "static_configs": [{"targets": [f"{NGINX_EXPORTER}.{SPACE}.svc:{NGINX_PORT}"]}],
        },
    ]


def values_of(topology: Topology) -> dict[str, Any]:
    """Return the chart's values."""
    scrape = "".join(f"- {json.dumps(job)}\n" for job in jobs(topology))
    rules = {"groups": GROUPS}
    server_image, alert_image = IMAGES["server"], IMAGES["alertmanager"]
    return {
        "server": {
            "image": {"repository": server_image[0], "tag": server_image[1]},
            "global": {
                "scrape_interval": "5s",
                "scrape_timeout": "4s",
                "evaluation_interval": "5s",
            },
            "retention": "2d",
            "service": {"type": "ClusterIP", "servicePort": 80},
            "persistentVolume": {"enabled": False},
            "readinessProbeInitialDelay": 2,
            "readinessProbePeriodSeconds": 2,
            "terminationGracePeriodSeconds": 10,
            # Another configuration makes another pod: nothing else watches the file.
            "podAnnotations": {"halab/configuration": digest(scrape + json.dumps(rules))},
            "tolerations": QUICK,
            "resources": {"requests": {"cpu": "50m", "memory": "200Mi"}},
        },
        "configmapReload": {"prometheus": {"enabled": False}},
        "serverFiles": {"alerting_rules.yml": rules},
        "extraScrapeConfigs": scrape,
        "alertmanager": {
            "enabled": True,
            "image": {"repository": alert_image[0], "tag": alert_image[1]},
            "persistence": {"enabled": False},
            "tolerations": QUICK,
        },
        "kube-state-metrics": {"image": _split("kube-state-metrics"), "tolerations": QUICK},
        "prometheus-node-exporter": {
            "image": _split("prometheus-node-exporter"),
            "tolerations": [{"operator": "Exists"}],
        },
        "prometheus-pushgateway": {"enabled": False},
    }


def _split(image: str) -> dict[str, str]:
    registry, _, repository = IMAGES[image][0].partition("/")
    return {"registry": registry, "repository": repository, "tag": IMAGES[image][1]}
