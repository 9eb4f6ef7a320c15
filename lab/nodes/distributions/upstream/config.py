"""The configuration files of kubelet and containerd under upstream Kubernetes. Pure text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.nodes import registries
from lab.nodes.distributions.upstream import units as kubeunits
from lab.nodes.distributions.upstream.units import K8S
from lab.nodes.files import HEARTBEATS, PAUSE_IMAGE
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology


def kubelet_config(topology: Topology, node: Node) -> bytes:
    """Render kubelet's configuration as JSON.

    A master registers with the taint that keeps workloads away, unless the lab has no workers.
    """
    taint = {"key": kubeunits.CONTROL_PLANE_TAINT, "value": "true", "effect": "NoExecute"}
    # Without workers the masters must take the workloads.
    taints = [taint] if node.role is Role.MASTER and topology.workers else []
    reserved = {
        "evictionHard": {
            "imagefs.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        }
    }
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{K8S}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDomain": "cluster.local",
        "clusterDNS": [str(topology.kubernetes.cluster_dns)],
        "cgroupDriver": "cgroupfs",
        # Since 1.35 kubelet refuses hosts with cgroup v1 by default; a lab must run on them.
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "tlsCertFile": f"{K8S}/kubelet.crt",
        "tlsPrivateKeyFile": f"{K8S}/kubelet.key",
        # The container's own names Docker's resolver on 127.0.0.11, which no pod can reach.
        "resolvConf": f"{K8S}/resolv.conf",
        # All nodes share the host's disk: one full disk would evict everything everywhere, and
        # deleted images cannot come back.
        **reserved,
        "imageGCHighThresholdPercent": 100,
        # Without CAP_SYS_RESOURCE no process may have a score below its parent's.
        "oomScoreAdj": 0,
        **HEARTBEATS,
        "registerWithTaints": taints,
        # Its rule against foreign packets for 127.0.0.0/8 is kube-proxy's, too (kubelet's source
        # says so). Without its own it begins nineteen programs less on each node at every start.
        "makeIPTablesUtilChains": False,
    }
    return json.dumps(config, indent=1).encode()


def containerd_config(topology: Topology) -> bytes:
    """Render containerd's config.toml."""
    own = registries.containerd(topology.kubernetes.registries)
    return f"""version = 3
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE no process may be given a lower score than its parent's.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
{own}""".encode()
