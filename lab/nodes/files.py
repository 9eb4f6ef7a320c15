"""What nodes' files have in common under every distribution. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology

PAUSE_IMAGE = "docker.io/halab/pause:1.0.0"
"""The sandbox of every pod. halab builds it into every node's image, so no node pulls one.

images/versions.yaml names it, too; a unit test keeps the two equal.
"""
HEARTBEATS = {
    "nodeLeaseDurationSeconds": 20,
    "nodeStatusUpdateFrequency": "4s",
    "nodeStatusReportFrequency": "4s",
}
"""Settings of every kubelet: it renews its lease after a quarter of this time.

4 s is less than half of the shortest grace period that a topology may set (10 s): one lost report
does not make a node NotReady. A report that fails also makes a kubelet connect anew (it closes its
connections, kubelet_node_status.go): the old one may lead to a dead master. Reports are a third of
an idle lab's writes. But with leases alone Services had nobody for 5 s after a lost quorum, in one
run; with a report every 8 s for 4 s, in one run of two, where workers were NotReady 20 s after the
quorum was back.
"""
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
