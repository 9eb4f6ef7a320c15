"""The configuration files of kubelet and containerd."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.nodes.distributions.upstream import units as kubeunits
from lab.nodes.distributions.upstream.units import K8S
from lab.nodes.files import PAUSE_IMAGE
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology


def kubelet_config(topology: Topology, node: Node) -> bytes:
    """Render kubelet's configuration; a master's node registers with the taint that keeps workloads away."""
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
        # Hosts with cgroup v1 are refused by default since 1.35; a lab must run on them.
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "tlsCertFile": f"{K8S}/kubelet.crt",
        "tlsPrivateKeyFile": f"{K8S}/kubelet.key",
        # Not the container's own: that names Docker's resolver on 127.0.0.11, which a pod cannot
        # reach.
        "resolvConf": f"{K8S}/resolv.conf",
        # All nodes share the host's disk: one full disk would evict everything everywhere, and
        # deleted images cannot come back.
        **reserved,
        "imageGCHighThresholdPercent": 100,
        # No score below one's own without CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        # Half of the shortest grace period that a topology may set (10 s), so that one lost update
        # does not make NotReady.
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "registerWithTaints": taints,
    }
    return json.dumps(config, indent=1).encode()


def containerd_config() -> bytes:
    """Render containerd's configuration."""
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
""".encode()
