"""What a node's files have alike under every distribution. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology

PAUSE_IMAGE = "docker.io/halab/pause:1.0.0"
"""The sandbox of every pod: built by halab and in every node's image, so that none pulls one.

images/versions.yaml names it; a unit test holds the two together.
"""
OPEN_FILES = "LimitNOFILE=1048576"
"""For who starts pods, which inherit it: containerd's and K3s's own number.

Not `infinity`: where fs.nr_open is 2^30 (Fedora, Arch) programs that go through all descriptors
that they may have (older JVMs, MySQL, Ceph) take minutes or all memory. Where the hard limit is
lower systemd takes that one (setrlimit_closest; seen with 20000).
"""

LOG_LIMIT = ("LogRateLimitIntervalSec=5s", "LogRateLimitBurst=500")
"""For each part of Kubernetes: how many lines its journal keeps in five seconds.

journald keeps up to 2.75 times as many while its disk is empty (its journald-rate-limit): 275 a
second, 130 KB, so the 256 MB of a machine's journal hold half an hour of it. An API
server that starts writes 60 a second.
"""
NO_LEADER = "LogFilterPatterns=~watch chan error: etcdserver: no leader"
"""For an API server: a line that says nothing more than its neighbours, and drowns them.

Without quorum each of its watches says so each time it is tried, more than 500 times a second
(measured: 32,873 lines in the first minute, 877 without this one); `retrying of unary invoker
failed` stays and tells the same.
"""


def resolv_conf(topology: Topology, node: Node) -> bytes:
    """Render what pods with dnsPolicy Default ask, a CoreDNS that forwards among them.

    The servers of `dns_forward`. Else, with the add-on dns-ha, the cluster's DNS: it forwards
    nowhere and says NXDOMAIN. Else the node itself, where nobody listens and the kernel refuses at
    once: a CoreDNS of others (K3s's own, a chart's) forwards to what stands here, and would ask
    itself for ever.
    """
    kubernetes = topology.kubernetes
    own = kubernetes.cluster_dns if "dns-ha" in topology.addons else node.ip
    return "".join(f"nameserver {ip}\n" for ip in kubernetes.dns_forward or (own,)).encode()
