"""metrics-server: `kubectl top nodes` and `kubectl top pods`.

Names and objects are those of upstream's components.yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.addons.addon import Addon, PodImage
from lab.addons.objects import account, bind, meta, role, workload
from lab.base.wait import Observation
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object

NAME = "metrics-server"
SPACE = "kube-system"
IMAGE = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
"""Named in images/versions.yaml; a unit test compares the two."""
PORT = 10250
SELECTOR = {"k8s-app": NAME}
API = "/apis/metrics.k8s.io/v1beta1/nodes"


def _rights() -> tuple[Object, ...]:
    aggregate = {
        f"rbac.authorization.k8s.io/aggregate-to-{who}": "true" for who in ("admin", "edit", "view")
    }
    return (
        account(NAME, SPACE),
        role(
            "system:aggregated-metrics-reader",
            [("metrics.k8s.io", "pods nodes", "get list watch")],
            **aggregate,
        ),
        role(
            f"system:{NAME}", [("-", "nodes/metrics", "get"), ("-", "pods nodes", "get list watch")]
        ),
        bind(
            f"{NAME}-auth-reader",
            "extension-apiserver-authentication-reader",
            NAME,
            SPACE,
            within=SPACE,
            cluster_role=False,
        ),
        bind(f"{NAME}:system:auth-delegator", "system:auth-delegator", NAME, SPACE),
        bind(f"system:{NAME}", f"system:{NAME}", NAME, SPACE),
    )


def _container() -> dict[str, Any]:
    def probe(path: str, **more: int) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "https", "scheme": "HTTPS"}, **more}

    return {
        "name": NAME,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--cert-dir=/tmp",
            f"--secure-port={PORT}",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--kubelet-use-node-status-port",
            # Its minimum: the first figures come after two rounds.
            "--metric-resolution=10s",
            # Must be less than that; a kubelet answers in milliseconds.
            "--kubelet-request-timeout=5s",
            # The cluster's authority signs the kubelets' certificates, so they are checked.
            "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        ],
        "ports": [{"containerPort": PORT, "name": "https", "protocol": "TCP"}],
        "livenessProbe": probe("/livez", periodSeconds=10, failureThreshold=3),
        "readinessProbe": probe(
            "/readyz", periodSeconds=2, failureThreshold=3, initialDelaySeconds=1
        ),
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 1000,
        },
        "volumeMounts": [{"mountPath": "/tmp", "name": "tmp-dir"}],  # noqa: S108 (a directory of the pod's own)
    }


def _deployment() -> Object:
    pod = {
        "serviceAccountName": NAME,
        "priorityClassName": "system-cluster-critical",
        "containers": [_container()],
        "volumes": [{"name": "tmp-dir", "emptyDir": {}}],
    }
    return workload(
        "Deployment",
        meta(NAME, SPACE, **SELECTOR),
        SELECTOR,
        pod,
        replicas=1,
        revisionHistoryLimit=1,
    )


class MetricsServer(Addon):
    """metrics-server as an Addon."""

    name = NAME
    summary = "`kubectl top nodes` and `kubectl top pods`"
    packaged = ("k3s",)

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return its own; it runs on a worker."""
        del site
        return (PodImage(NAME),)

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return rights, Service, Deployment, and the API that the API server then forwards."""
        del site
        ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https"}]
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta(NAME, SPACE, **SELECTOR),
            "spec": {"ports": ports, "selector": SELECTOR},
        }
        api = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": meta("v1beta1.metrics.k8s.io", **SELECTOR),
            "spec": {
                "group": "metrics.k8s.io",
                "groupPriorityMinimum": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": NAME, "namespace": SPACE},
                "version": "v1beta1",
                "versionPriority": 100,
            },
        }
        return (*_rights(), service, _deployment(), api)

    def ready(self, site: AddonContext) -> Observation:
        """Whether the API has figures of every Ready node."""
        ready = {name for name, item in site.cluster.nodes().items() if node_ready(item)[0]}
        measured = {item["metadata"]["name"] for item in site.cluster.get(API)["items"]}
        missing = sorted(ready - measured)
        if missing:
            return Observation(ok=False, detail=f"no figures yet of {', '.join(missing)}")
        return Observation(ok=True, detail=f"figures of {len(measured)} nodes")


ADDON = MetricsServer()
