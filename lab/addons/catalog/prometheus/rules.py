"""The alerts of a lab.

Names and meanings are those of the etcd and Kubernetes mixins if these have them; times are
shorter.
"""

from __future__ import annotations

from typing import Any


def _rule(name: str, expression: str, wait: str, severity: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }


ETCD = [
    _rule(
        "etcdMembersDown",
        'count by (job) (up{job="etcd"} == 0) > 0',
        "10s",
        "warning",
        "{{ $value }} etcd members do not answer.",
    ),
    _rule(
        "etcdInsufficientMembers",
        'sum by (job) (up{job="etcd"} == bool 1) < ((count by (job) (up{job="etcd"}) + 1) / 2)',
        "10s",
        "critical",
        "Only {{ $value }} etcd members answer: no quorum.",
    ),
    _rule(
        "etcdNoLeader",
        'etcd_server_has_leader{job="etcd"} == 0',
        "10s",
        "critical",
        "The etcd member of {{ $labels.node }} has no leader.",
    ),
    _rule(
        "etcdHighNumberOfLeaderChanges",
        'increase((max by (job) (etcd_server_leader_changes_seen_total{job="etcd"}))[5m:5s]) >= 4',
        "10s",
        "warning",
        "{{ $value }} changes of etcd's leader within five minutes.",
    ),
]
KUBERNETES = [
    _rule(
        "KubeNodeNotReady",
        'kube_node_status_condition{condition="Ready",status="true"} == 0',
        "10s",
        "warning",
        "{{ $labels.node }} is not Ready.",
    ),
    _rule(
        "KubeNodeUnreachable",
        'kube_node_spec_taint{key="node.kubernetes.io/unreachable",effect="NoExecute"} == 1',
        "10s",
        "warning",
        "{{ $labels.node }} is unreachable; its workloads go elsewhere.",
    ),
    _rule(
        "KubeletDown",
        'up{job="kubelet"} == 0',
        "15s",
        "critical",
        "The kubelet of {{ $labels.node }} does not answer.",
    ),
    _rule(
        "KubeAPIDown",
        'up{job="apiserver"} == 0',
        "15s",
        "critical",
        "The API server of {{ $labels.node }} does not answer.",
    ),
    _rule(
        "KubeStateMetricsDown",
        'absent(up{job="kube-state-metrics"} == 1)',
        "20s",
        "critical",
        "No kube-state-metrics: other alerts are blind.",
    ),
    _rule(
        "KubeDeploymentReplicasMismatch",
        "kube_deployment_spec_replicas > kube_deployment_status_replicas_available",
        "20s",
        "warning",
        "{{ $labels.namespace }}/{{ $labels.deployment }} has fewer replicas than it should.",
    ),
    _rule(
        "KubePodNotReady",
        'sum by (namespace, pod) (kube_pod_status_phase{phase=~"Pending|Unknown"}) > 0',
        "30s",
        "warning",
        "{{ $labels.namespace }}/{{ $labels.pod }} does not start.",
    ),
    _rule(
        "CoreDNSDown",
        'absent(up{job="coredns"} == 1)',
        "10s",
        "critical",
        "No CoreDNS replica answers.",
    ),
]
MACHINES = [
    _rule(
        "ClusterNodeOffline",
        'max by (node) (ha_cluster_pacemaker_nodes{status="online"}) == 0',
        "10s",
        "warning",
        "Pacemaker has lost {{ $labels.node }}.",
    ),
    _rule(
        "ClusterNotQuorate",
        "ha_cluster_corosync_quorate == 0",
        "10s",
        "critical",
        "Corosync on {{ $labels.node }} has no quorum.",
    ),
    _rule(
        "FloatingAddressDown",
        'absent(ha_cluster_pacemaker_resources{resource="FAILOVER-ADDR",status="active"} == 1)',
        "10s",
        "critical",
        "No master holds the floating address.",
    ),
    _rule(
        "LoadBalancerDown",
        "nginx_up == 0 or absent(nginx_up)",
        "10s",
        "critical",
        "nginx in front of the masters does not answer.",
    ),
]
GROUPS = [
    {"name": "etcd", "rules": ETCD},
    {"name": "kubernetes", "rules": KUBERNETES},
    {"name": "machines", "rules": MACHINES},
]
