"""`kubernetes.args`: options of Kubernetes' programs, and which of them are halab's own.

What halab only prefers may be set; what the lab stands on is refused, with the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.base.suggest import did_you_mean
from lab.topology import values
from lab.topology.model import Args

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.base.yaml_files import Problems, Value
    from lab.topology.values import Section

COMPONENTS = {
    "apiserver": "apiserver",
    "controller-manager": "controller_manager",
    "scheduler": "scheduler",
    "kubelet": "kubelet",
    "k3s": "k3s",
}
"""A program's word in the file → its field in Args."""
MAX_VALUE = 2000
"""Longer than any list of feature gates; a unit's line has at most 2048 (LINE_MAX of POSIX)."""
_NAME = re.compile(r"[a-z][a-z0-9]*([-.][a-z0-9]+)*")

_ADDRESS = "masters, nodes and the floating address are reached where halab expects them"
_KUBECONFIG = "halab makes its certificate and says where its API server is"
_CERTIFICATES = "the lab's certificates are halab's"
_AGGREGATION = "metrics and other extensions of the API come in by it"
_LEADER = "of several masters exactly one may lead"
_KUBELET = "halab writes the kubelet's files, and other parts read what it sets there"

OWN: dict[str, dict[str, str]] = {
    "apiserver": {
        **dict.fromkeys(
            ("etcd-servers", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-prefix"),
            "each API server asks the etcd of its own master",
        ),
        **dict.fromkeys(
            ("advertise-address", "bind-address", "secure-port", "external-hostname"), _ADDRESS
        ),
        **dict.fromkeys(
            (
                "tls-cert-file",
                "tls-private-key-file",
                "cert-dir",
                "client-ca-file",
                "kubelet-client-certificate",
                "kubelet-client-key",
                "kubelet-certificate-authority",
                "service-account-key-file",
                "service-account-signing-key-file",
                "service-account-issuer",
            ),
            _CERTIFICATES,
        ),
        **dict.fromkeys(
            (
                "proxy-client-cert-file",
                "proxy-client-key-file",
                "requestheader-client-ca-file",
                "requestheader-allowed-names",
                "requestheader-username-headers",
                "requestheader-group-headers",
                "requestheader-extra-headers-prefix",
            ),
            _AGGREGATION,
        ),
        "service-cluster-ip-range": "`kubernetes.service_cidr` says it",
        "kubelet-preferred-address-types": _ADDRESS,
        "authorization-mode": "nodes and add-ons have their rights by Node and RBAC",
        "authorization-config": "nodes and add-ons have their rights by Node and RBAC",
        "allow-privileged": "add-ons run privileged pods",
    },
    "controller-manager": {
        **dict.fromkeys(
            ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig", "master"),
            _KUBECONFIG,
        ),
        **dict.fromkeys(
            (
                "service-account-private-key-file",
                "root-ca-file",
                "cluster-signing-cert-file",
                "cluster-signing-key-file",
                "use-service-account-credentials",
            ),
            _CERTIFICATES,
        ),
        **dict.fromkeys(("bind-address", "secure-port"), _ADDRESS),
        **dict.fromkeys(
            ("allocate-node-cidrs", "node-cidr-mask-size", "node-cidr-mask-size-ipv4"),
            "each node gets a /24 of the pods' network",
        ),
        "cluster-cidr": "`kubernetes.pod_cidr` says it",
        "service-cluster-ip-range": "`kubernetes.service_cidr` says it",
        "node-monitor-grace-period": "`kubernetes.node_monitor_grace` says it",
        "leader-elect": _LEADER,
    },
    "scheduler": {
        **dict.fromkeys(
            ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig", "master"),
            _KUBECONFIG,
        ),
        **dict.fromkeys(("bind-address", "secure-port"), _ADDRESS),
        "leader-elect": _LEADER,
    },
    "kubelet": {
        **dict.fromkeys(("kubeconfig", "bootstrap-kubeconfig"), _KUBECONFIG),
        **dict.fromkeys(("config", "config-dir", "root-dir", "resolv-conf"), _KUBELET),
        **dict.fromkeys(("hostname-override", "node-ip", "address", "port"), _ADDRESS),
        **dict.fromkeys(
            ("cert-dir", "tls-cert-file", "tls-private-key-file", "client-ca-file"), _CERTIFICATES
        ),
        **dict.fromkeys(
            ("anonymous-auth", "authentication-token-webhook", "authorization-mode"),
            "API server and metrics ask it with certificates and tokens",
        ),
        **dict.fromkeys(
            ("container-runtime-endpoint", "image-service-endpoint", "cgroup-driver"),
            "it must be as the node's containerd has it",
        ),
        **dict.fromkeys(
            ("fail-cgroupv1", "fail-swap-on"), "a lab runs on hosts with cgroup v1 or swap, too"
        ),
        **dict.fromkeys(
            ("register-node", "register-with-taints"), "nodes register, masters with their taint"
        ),
        "cluster-dns": "`kubernetes.cluster_dns` says it",
        "cluster-domain": "the lab's names and certificates end in cluster.local",
    },
    "k3s": {
        **dict.fromkeys(
            (
                "advertise-address",
                "advertise-port",
                "bind-address",
                "node-name",
                "node-ip",
                "node-external-ip",
                "with-node-id",
                "lb-server-port",
                "flannel-iface",
            ),
            _ADDRESS,
        ),
        **dict.fromkeys(
            ("token", "token-file", "agent-token", "agent-token-file"),
            "halab makes the lab's secrets",
        ),
        **dict.fromkeys(
            ("cluster-init", "server", "datastore-endpoint"),
            "halab lets masters found and join the cluster, on their own etcd",
        ),
        **dict.fromkeys(
            ("flannel-backend", "flannel-conf"), "the pods' network is vxlan, as faults expect it"
        ),
        **dict.fromkeys(
            ("data-dir", "write-kubeconfig", "write-kubeconfig-mode", "write-kubeconfig-group"),
            "halab reads files there",
        ),
        **dict.fromkeys(
            (
                "disable-cloud-controller",
                "disable-kube-proxy",
                "disable-scheduler",
                "protect-kernel-defaults",
                "selinux",
            ),
            "a node in a container does not become Ready, or runs no pods, with it",
        ),
        **dict.fromkeys(("pause-image", "resolv-conf"), "the node has that of halab, and no other"),
        "node-taint": "masters have their taint from halab",
        "cluster-cidr": "`kubernetes.pod_cidr` says it",
        "service-cidr": "`kubernetes.service_cidr` says it",
        "cluster-dns": "`kubernetes.cluster_dns` says it",
        "cluster-domain": "the lab's names and certificates end in cluster.local",
        "private-registry": "`kubernetes.registries` says it",
        "kube-apiserver-arg": "write it under `kubernetes.args.apiserver`",
        "kube-controller-manager-arg": "write it under `kubernetes.args.controller-manager`",
        "kube-scheduler-arg": "write it under `kubernetes.args.scheduler`",
        "kubelet-arg": "write it under `kubernetes.args.kubelet`",
    },
}
"""Program → option → why it cannot be set."""

K3S_OPEN = frozenset(
    "debug default-local-storage-path default-runtime disable disable-default-registry-endpoint "
    "disable-helm-controller disable-network-policy egress-selector-mode embedded-registry "
    "etcd-arg etcd-disable-snapshots etcd-expose-metrics etcd-snapshot-compress etcd-snapshot-dir "
    "etcd-snapshot-name etcd-snapshot-reconcile-interval etcd-snapshot-retention "
    "etcd-snapshot-schedule-cron helm-controller-arg kube-cloud-controller-manager-arg "
    "kube-proxy-arg node-label prefer-bundled-bin secrets-encryption service-node-port-range "
    "servicelb-namespace snapshotter supervisor-metrics system-default-registry tls-san "
    "tls-san-security".split()
)
"""K3s's own keys that may be set. With OWN they are all that are documented: a unit test."""


def read(kubernetes: Section) -> Args:
    """Read the section; what is wrong is noted."""
    keys = dict.fromkeys(COMPONENTS, False)
    at = kubernetes.items.get("args")
    section = values.open_section(at, "kubernetes.args", keys, kubernetes.at, kubernetes.problems)
    return Args(
        **{field: tuple(_pairs(section, component)) for component, field in COMPONENTS.items()}
    )


def _pairs(section: Section, component: str) -> Iterator[tuple[str, str]]:
    item = section.items.get(component)
    for option, value in _given(item, section.name(component), section.problems):
        name = f"`{section.name(component)}.{shown(option)}`"
        try:
            _check(component, option)
            yield option, _value(value)
        except WrongError as wrong:
            section.problems.add(value, f"{name} {wrong.message}", wrong.hint)


def _given(item: Value | None, name: str, problems: Problems) -> Iterator[tuple[str, Value]]:
    """Yield options and their values: of a mapping, or of a list of them; a list repeats one."""
    if item is None:
        return
    rows = item.data if isinstance(item.data, list) else [item]
    for row in rows:
        if not isinstance(row.data, dict):
            hint = "for example {v: 2}, or [feature-gates: A=true]"
            problems.add(row, f"`{name}` must have options with values", hint)
            continue
        for option, value in row.data.items():
            each = value.data if isinstance(value.data, list) else [value]
            yield from ((option, one) for one in each)


def _check(component: str, option: str) -> None:
    if not _NAME.fullmatch(option):
        bare = option.lstrip("-").partition("=")[0].replace("_", "-")
        hint = f"write {bare}: VALUE" if _NAME.fullmatch(bare) else "for example v: 2"
        raise WrongError("is not an option's name", hint)
    if reason := OWN[component].get(option):
        raise WrongError("is halab's own", reason)
    if component == "k3s" and option not in K3S_OPEN:
        raise WrongError("is no key of K3s's configuration", did_you_mean(option, sorted(K3S_OPEN)))


def _value(value: Value) -> str:
    text = values.text(value)
    if not text.isprintable():
        raise WrongError("has a character that cannot be printed", "write one line of text")
    if len(text) > MAX_VALUE:
        raise WrongError(f"has {len(text)} characters", f"at most {MAX_VALUE}")
    return text
