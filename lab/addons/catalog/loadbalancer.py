"""loadbalancer: Services of type LoadBalancer get an address of the lab's subnet.

One node at a time answers for it. On upstream Kubernetes this is MetalLB in L2 mode: it assigns
addresses and announces them (kube-vip would need a second program for the first half), and its
speakers watch each other, so that a dead node's addresses move long before Kubernetes calls it
NotReady. Webhooks are off: they only check pools, and the only one is ours. For the same reason the
definitions of its kinds allow any content. K3s has ServiceLB: every node answers at its own
address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.addons.addon import Addon, PodImage
from lab.addons.objects import account, bind, deployed, meta, role, workload
from lab.base.wait import Observation
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object
    from lab.topology.model import Topology

GROUP = "metallb.io"
SPACE = "metallb-system"
POOL = "lab"
VERSION = "v0.15.2"
"""Named in images/versions.yaml; a unit test compares the two."""
KINDS = {
    "BFDProfile": ("v1beta1",),
    "BGPAdvertisement": ("v1beta1",),
    "BGPPeer": ("v1beta2", "v1beta1"),
    "Community": ("v1beta1",),
    "IPAddressPool": ("v1beta1",),
    "L2Advertisement": ("v1beta1",),
    "ServiceBGPStatus": ("v1beta1",),
    "ServiceL2Status": ("v1beta1",),
}
"""MetalLB's kinds with their versions, the stored one first. It watches all, used or not."""
METRICS_PORT = 7472


def plural(kind: str) -> str:
    """Return the plural that MetalLB registers."""
    singular = kind.lower()
    if singular.endswith("y"):
        return f"{singular[:-1]}ies"
    return f"{singular}es" if singular.endswith("s") else f"{singular}s"


def definition(kind: str, versions: tuple[str, ...]) -> Object:
    """Return a kind's definition, any content allowed."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    rows = [
        {
            "name": name,
            "served": True,
            "storage": name == versions[0],
            "schema": schema,
            "subresources": {"status": {}},
        }
        for name in versions
    ]
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural(kind),
        "singular": kind.lower(),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": meta(f"{plural(kind)}.{GROUP}"),
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": rows},
    }


def _rights() -> tuple[Object, ...]:
    read = "get list watch"
    settings = "bfdprofiles bgppeers bgpadvertisements l2advertisements ipaddresspools communities"
    controller = [
        ("-", "services namespaces", read),
        ("-", "nodes", "list"),
        ("-", "services/status", "update"),
        ("-", "events", "create patch"),
    ]
    speaker = [
        (GROUP, "servicel2statuses servicel2statuses/status", "*"),
        ("-", "services endpoints nodes namespaces", read),
        ("discovery.k8s.io", "endpointslices", read),
        ("-", "events", "create patch"),
    ]
    own = [
        # The key by which speakers recognize each other: the controller makes it, owned by its
        # Deployment.
        ("-", "secrets", "create delete get list patch update watch"),
        ("apps", "deployments", "get"),
        (GROUP, settings, read),
        (GROUP, "ipaddresspools/status", "update"),
    ]
    lister = [
        ("-", "pods", "list get"),
        ("-", "secrets configmaps", read),
        (GROUP, settings, read),
        (GROUP, "servicebgpstatuses servicebgpstatuses/status", "*"),
    ]
    return (
        account("controller", SPACE),
        account("speaker", SPACE),
        role(f"{SPACE}:controller", controller),
        role(f"{SPACE}:speaker", speaker),
        role("controller", own, SPACE),
        role("pod-lister", lister, SPACE),
        bind(f"{SPACE}:controller", f"{SPACE}:controller", "controller", SPACE),
        bind(f"{SPACE}:speaker", f"{SPACE}:speaker", "speaker", SPACE),
        bind("controller", "controller", "controller", SPACE, within=SPACE, cluster_role=False),
        bind("pod-lister", "pod-lister", "speaker", SPACE, within=SPACE, cluster_role=False),
    )


def _container(name: str, environment: list[dict[str, Any]], *capabilities: str) -> dict[str, Any]:
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": [*capabilities], "drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    return {
        "name": name,
        "image": f"quay.io/metallb/{name}:{VERSION}",
        "imagePullPolicy": "IfNotPresent",
        "args": [f"--port={METRICS_PORT}", "--log-level=info"],
        "env": environment,
        "ports": [{"containerPort": METRICS_PORT, "name": "monitoring"}],
        "readinessProbe": {
            "httpGet": {"path": "/metrics", "port": "monitoring"},
            "initialDelaySeconds": 1,
            "periodSeconds": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/metrics", "port": "monitoring"},
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
        },
        "securityContext": security,
    }


def _workload(kind: str, name: str, pod: dict[str, Any]) -> Object:
    labels = {"app": "metallb", "component": name}
    made = workload(kind, meta(name, SPACE, **labels), labels, {"serviceAccountName": name, **pod})
    # Prometheus finds both by the annotations that upstream gives them.
    made["spec"]["template"]["metadata"]["annotations"] = {
        "prometheus.io/port": str(METRICS_PORT),
        "prometheus.io/scrape": "true",
    }
    return made


def _controller() -> Object:
    environment = [
        {"name": "METALLB_ML_SECRET_NAME", "value": "memberlist"},
        {"name": "METALLB_DEPLOYMENT", "value": "controller"},
    ]
    container = _container("controller", environment)
    container["args"].append("--webhook-mode=disabled")
    pod = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534},
        "terminationGracePeriodSeconds": 0,
    }
    return _workload("Deployment", "controller", pod)


def _speaker() -> Object:
    fields = {
        "METALLB_NODE_NAME": "spec.nodeName",
        "METALLB_POD_NAME": "metadata.name",
        "METALLB_HOST": "status.hostIP",
        "METALLB_ML_BIND_ADDR": "status.podIP",
    }
    environment: list[dict[str, Any]] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]
    environment += [
        {"name": "METALLB_ML_LABELS", "value": "app=metallb,component=speaker"},
        {"name": "METALLB_ML_SECRET_KEY_PATH", "value": "/etc/ml_secret_key"},
    ]
    # NET_RAW: it answers ARP itself.
    container = _container("speaker", environment, "NET_RAW")
    container["volumeMounts"] = [
        {"name": "memberlist", "mountPath": "/etc/ml_secret_key", "readOnly": True}
    ]
    pod = {
        "containers": [container],
        "hostNetwork": True,
        "terminationGracePeriodSeconds": 2,
        # Not on masters, which are tainted NoExecute: they have the VIP, and enough to do.
        "tolerations": [
            {
                "key": "node-role.kubernetes.io/control-plane",
                "operator": "Exists",
                "effect": "NoSchedule",
            }
        ],
        "volumes": [{"name": "memberlist", "secret": {"secretName": "memberlist"}}],
    }
    return _workload("DaemonSet", "speaker", pod)


def _pool(topology: Topology) -> tuple[Object, ...]:
    """Return the pool: each address by itself, as there may be gaps."""
    addresses = [f"{address}/32" for address in topology.service_addresses]
    version = f"{GROUP}/v1beta1"
    return (
        {
            "apiVersion": version,
            "kind": "IPAddressPool",
            "metadata": meta(POOL, SPACE),
            "spec": {"addresses": addresses},
        },
        {
            "apiVersion": version,
            "kind": "L2Advertisement",
            "metadata": meta(POOL, SPACE),
            "spec": {"ipAddressPools": [POOL]},
        },
    )


class LoadBalancerAddon(Addon):
    """MetalLB as an Addon; on K3s a look at ServiceLB."""

    name = "loadbalancer"
    summary = "Services of type LoadBalancer get an address that the host reaches"
    packaged = ("k3s",)

    def images(self, site: AddonContext) -> tuple[PodImage, ...]:
        """Return those of the controller and the speakers, on workers."""
        del site
        return PodImage("metallb-controller"), PodImage("metallb-speaker")

    def manifests(self, site: AddonContext) -> tuple[Object, ...]:
        """Return namespace, kinds, rights, programs, the pool."""
        privileged = {
            f"pod-security.kubernetes.io/{mode}": "privileged"
            for mode in ("enforce", "audit", "warn")
        }
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta(SPACE, **privileged)}
        definitions = (definition(kind, versions) for kind, versions in KINDS.items())
        return (space, *definitions, *_rights(), _controller(), _speaker(), *_pool(site.topology))

    def ready(self, site: AddonContext) -> Observation:
        """Whether the controller runs, and a speaker on every Ready node that has one."""
        if site.distribution.name in self.packaged:
            return self._servicelb(site)
        controller = deployed(site, SPACE, "controller")
        if not controller.ok:
            return controller
        speakers = site.cluster.get(
            f"/api/v1/namespaces/{SPACE}/pods?labelSelector=component%3Dspeaker"
        )["items"]
        alive = {name for name, item in site.cluster.nodes().items() if node_ready(item)[0]}
        waiting = [
            pod["spec"].get("nodeName", "?")
            for pod in speakers
            if pod["spec"].get("nodeName") in alive and not _pod_ready(pod)
        ]
        if waiting or not speakers:
            return Observation(
                ok=False, detail=f"no speaker yet on {', '.join(sorted(waiting)) or 'any node'}"
            )
        addresses = site.topology.service_addresses
        return Observation(
            ok=True, detail=f"{len(addresses)} addresses from {addresses[0]} to {addresses[-1]}"
        )

    def _servicelb(self, site: AddonContext) -> Observation:
        """Whether K3s's own is there: labs of older halabs were made without it."""
        config = site.node(site.topology.masters[0].name).run(
            ["cat", "/etc/rancher/k3s/config.yaml.d/10-common.yaml"], check=False
        )
        if "servicelb" in config.output:
            return Observation(
                ok=False,
                detail="this lab's K3s was made with ServiceLB disabled; recreate the lab",
            )
        return Observation(ok=True, detail="K3s's ServiceLB: every node answers at its own address")


def _pod_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)


ADDON = LoadBalancerAddon()
