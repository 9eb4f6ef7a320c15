"""The documented keys of K3s's configuration files, by role.

Source: K3s's pkg/cli/cmds, server.go and agent.go, release 1.36. A server skips an unknown key with
a warning, an agent stops at one: nothing undocumented may be written.
"""

from __future__ import annotations

BOTH = frozenset(
    "node-name with-node-id node-ip node-external-ip node-label node-taint kubelet-arg "
    "kube-proxy-arg snapshotter pause-image private-registry flannel-iface flannel-conf "
    "resolv-conf protect-kernel-defaults selinux lb-server-port data-dir debug prefer-bundled-bin "
    "default-runtime disable-default-registry-endpoint bind-address".split()
)
AGENT = BOTH | frozenset("token token-file server".split())
SERVER = BOTH | frozenset(
    "cluster-init server token token-file agent-token agent-token-file tls-san tls-san-security "
    "advertise-address advertise-port cluster-cidr service-cidr cluster-dns cluster-domain "
    "service-node-port-range flannel-backend disable disable-cloud-controller disable-kube-proxy "
    "disable-network-policy disable-helm-controller disable-scheduler kube-apiserver-arg "
    "kube-controller-manager-arg kube-scheduler-arg kube-cloud-controller-manager-arg etcd-arg "
    "helm-controller-arg etcd-expose-metrics etcd-disable-snapshots etcd-snapshot-schedule-cron "
    "etcd-snapshot-retention etcd-snapshot-dir etcd-snapshot-name etcd-snapshot-compress "
    "etcd-snapshot-reconcile-interval write-kubeconfig write-kubeconfig-mode "
    "write-kubeconfig-group embedded-registry supervisor-metrics secrets-encryption "
    "egress-selector-mode servicelb-namespace system-default-registry default-local-storage-path "
    "datastore-endpoint".split()
)
"""cluster-reset, cluster-reset-restore-path and rootless are left out on purpose: they act once, or
change what a node is."""
EQUAL_ON_ALL_SERVERS = frozenset(
    "cluster-dns cluster-cidr service-cidr cluster-domain disable-cloud-controller "
    "disable-helm-controller disable-network-policy secrets-encryption embedded-registry "
    "supervisor-metrics flannel-backend egress-selector-mode".split()
)
"""A joiner whose values differ exits with `critical configuration value mismatch between
servers`."""
