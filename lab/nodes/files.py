"""What nodes' files have in common under every distribution. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology

PAUSE_IMAGE = "docker.io/halab/pause:1.0.0"
"""The sandbox of every pod. halab builds it into every node's image, so no node pulls one.

images/versions.yaml names it, too; a unit test keeps the two equal.
"""
LEASE_S = 20
"""A kubelet renews its node's lease after a quarter of this time."""
LOOK_MS = 10_000
"""How often a kubelet looks at its node's status, as Kubernetes has it, or more often."""
OPEN_FILES = "LimitNOFILE=1048576"
"""For the units that start pods, which inherit it; containerd's and K3s's own number.

Not `infinity`: where fs.nr_open is 2^30 (Fedora, Arch), programs that walk through all descriptors
they may have (older JVMs, MySQL, Ceph) take minutes, or all memory. Where the hard limit is lower,
systemd takes that (setrlimit_closest; seen with 20000).
"""

LOG_LIMIT = ("LogRateLimitIntervalSec=5s", "LogRateLimitBurst=500")
"""How many lines the journal keeps of each part of Kubernetes in five seconds.

journald keeps up to 2.75 times as many while its disk is empty (its journald-rate-limit): 275 a
second, or 130 KB. The 256 MB of a machine's journal then hold half an hour. A starting API server
writes 60 lines a second.
"""
NO_LEADER = "LogFilterPatterns=~watch chan error: etcdserver: no leader"
"""For an API server: drops a line that says no more than its neighbours, and drowns them.

Without quorum, each watch writes it at each try, more than 500 times a second (measured: 32,873
lines in the first minute, 877 without this one). `retrying of unary invoker failed` stays and says
the same.
"""


def resolv_conf(topology: Topology, node: Node) -> bytes:
    """Render the resolv.conf of pods with dnsPolicy Default; a forwarding CoreDNS is one of them.

    It names the servers of `dns_forward`. Without those, but with the add-on dns-ha, it names the
    cluster's DNS, which forwards nowhere and answers NXDOMAIN. Otherwise it names the node itself,
    where nobody listens and the kernel refuses at once: any other CoreDNS (K3s's own, a chart's)
    forwards to the servers named here, and would ask itself for ever.
    """
    kubernetes = topology.kubernetes
    own = kubernetes.cluster_dns if "dns-ha" in topology.addons else node.ip
    return "".join(f"nameserver {ip}\n" for ip in kubernetes.dns_forward or (own,)).encode()


def heartbeats(topology: Topology) -> dict[str, int | str]:
    """Return the settings of every kubelet by which its node stays Ready.

    Besides its lease it writes its node's status, at least once in half of the grace period: one
    lost report does not make a node NotReady. It looks five times in that period whether a report
    is due, or could not be written the last time; a look is up to 4 % late (kubelet.go, Run).

    More reports would cost: one at each look was a third of all writes of an idle lab. Leases alone
    do not do: after a failure a kubelet waits for up to 7 s with its lease, and a topology may want
    nodes NotReady after 10 s.
    """
    grace_ms = topology.kubernetes.node_monitor_grace_ms
    look_ms = min(LOOK_MS, grace_ms // 5)
    due_ms = grace_ms // 2 - look_ms - look_ms // 20
    return {
        "nodeLeaseDurationSeconds": LEASE_S,
        "nodeStatusUpdateFrequency": f"{look_ms}ms",
        "nodeStatusReportFrequency": f"{due_ms}ms",
    }
