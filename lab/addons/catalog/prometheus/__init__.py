"""prometheus: the lab's figures and alerts, installed by Helm.

The chart is halab's own (images/charts/prometheus), with the keys and names of
prometheus-community's; `--chart` takes that one, or any other with these keys. Data live as long as
the server's pod: one that moves to another node starts empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from lab.addons.addon import Addon, Chart, Needs, PodImage
from lab.addons.catalog.prometheus.chart_values import (
    CLUSTER_PORT,
    IMAGES,
    NGINX_EXPORTER,
    NGINX_PORT,
    QUICK,
    RELEASE,
    SERVER,
    SPACE,
    values_of,
)
from lab.addons.objects import meta, workload
from lab.base import paths
from lab.base.errors import LabError
from lab.base.wait import Observation
from lab.engine.files import File
from lab.kube.objects import node_ready
from lab.nodes.ha import nginx

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object
    from lab.engine.node import NodeHandle

MEMORY_MIB = 700
"""Server 250 MiB, six node exporters 90, the rest 150 (measured), and room for two days of data."""
UNIT = "ha_cluster_exporter"
ARGUMENTS = "/etc/sysconfig/prometheus-ha_cluster_exporter"
"""Read by Debian's unit."""


def query(site: AddonContext, expression: str) -> list[Object]:
    """Ask Prometheus. Raises LabError.

    Through the API server's proxy: so it is reached wherever the API is.
    """
    server = f"/api/v1/namespaces/{SPACE}/services/{SERVER}:80/proxy"
    answer = site.cluster.get(f"{server}/api/v1/query?query={quote(expression)}")
    return list(answer["data"]["result"])


def _exporter(site: AddonContext) -> tuple[Object, ...]:
    """Return nginx's exporter, which no chart has: it asks the load balancer."""
    image, tag = IMAGES["nginx"]
    labels = {"app": NGINX_EXPORTER}
    uri = f"http://{site.topology.loadbalancer.ip}:{nginx.STATUS_PORT}{nginx.STATUS_PATH}"
    container = {
        "name": "nginx-exporter",
        "image": f"{image}:{tag}",
        "imagePullPolicy": "IfNotPresent",
        "args": [f"--nginx.scrape-uri={uri}", f"--web.listen-address=:{NGINX_PORT}"],
        "ports": [{"name": "metrics", "containerPort": NGINX_PORT}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsUser": 65534,
            "runAsNonRoot": True,
        },
    }
    pod = {"automountServiceAccountToken": False, "tolerations": QUICK, "containers": [container]}
    deployment = workload(
        "Deployment", meta(NGINX_EXPORTER, SPACE, **labels), labels, pod, replicas=1
    )
    ports = [{"name": "metrics", "port": NGINX_PORT, "targetPort": "metrics", "protocol": "TCP"}]
    spec = {"selector": labels, "ports": ports}
    return deployment, {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(NGINX_EXPORTER, SPACE, **labels),
        "spec": spec,
    }


class Prometheus(Addon):
    """Prometheus as an Addon."""

    name = "prometheus"
    summary = (
        "figures and alerts of everything in the lab; "
        "its web page by `kubectl expose deployment prometheus-server`"
    )
    options = ("chart",)

    def needs(self, site: AddonContext) -> Needs:
        """Return the memory that it needs."""
        del site
        return Needs(memory_mib=MEMORY_MIB)

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return those of the server and its helpers on workers, and of the node exporters."""
        del site
        names = ("prometheus", "alertmanager", "kube-state-metrics", "nginx-exporter")
        return (*map(PodImage, names), PodImage("node-exporter", masters=True))

    def chart(self, site: AddonContext) -> Chart:
        """Return the user's, or halab's own."""
        source = site.options.get("chart") or str(paths.shipped("images") / "charts" / "prometheus")
        return Chart(
            release=RELEASE, namespace=SPACE, source=source, values=values_of(site.topology)
        )

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return what no chart has."""
        return _exporter(site)

    def prepare(self, site: AddonContext) -> None:
        """Start the exporter of Pacemaker and Corosync on the masters that run.

        It runs these programs' own tools, so it is a service there.
        """
        for master in self._running(site):
            content = f"ARGS=--web.listen-address={master.ip}:{CLUSTER_PORT}\n".encode()
            master.run(["mkdir", "-p", ARGUMENTS.rsplit("/", 1)[0]])
            master.put([File(path=ARGUMENTS, content=content)])
            master.run(["systemctl", "enable", "--now", UNIT])

    def clean(self, site: AddonContext) -> None:
        """Stop the exporters."""
        for master in self._running(site):
            master.run(["systemctl", "disable", "--now", UNIT], check=False)

    def _running(self, site: AddonContext) -> list[NodeHandle]:
        return [
            master for node in site.topology.masters if (master := site.node(node.name)).running
        ]

    def ready(self, site: AddonContext) -> Observation:
        """Whether it has figures of every Ready node and of every part.

        Parts are those of every master, DNS and the load balancer.
        """
        ready = {name for name, item in site.cluster.nodes().items() if node_ready(item)[0]}
        masters = len([node for node in site.topology.masters if node.name in ready])
        expected = {
            "apiserver": masters,
            "etcd": masters,
            "pacemaker": masters,
            "kubelet": len(ready),
            "node-exporter": len(ready),
        }
        expected |= {"coredns": 1, "kube-state-metrics": 1, "nginx": 1}
        try:
            up = {
                row["metric"]["job"]: int(row["value"][1])
                for row in query(site, "sum by (job) (up)")
            }
            nginx_up = query(site, "nginx_up == 1")
        except LabError as error:
            return Observation(
                ok=False, detail=f"the server does not answer yet ({error.message[:120]})"
            )
        missing = [
            f"{job} {up.get(job, 0)} of {count}"
            for job, count in expected.items()
            if up.get(job, 0) < count
        ]
        if missing or not nginx_up:
            return Observation(
                ok=False, detail=f"scraped so far: {', '.join(missing) or 'all but nginx itself'}"
            )
        return Observation(
            ok=True, detail=f"{sum(up.values())} targets up, figures of {len(ready)} nodes"
        )


ADDON = Prometheus()
