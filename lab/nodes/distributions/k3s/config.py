"""K3s's configuration files and units, as values and text.

Pure; every key is held against the documented ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.nodes.distributions.k3s.keys import AGENT, SERVER
from lab.nodes.files import LOG_LIMIT, NO_LEADER, OPEN_FILES, PAUSE_IMAGE
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.kube.pki import Secrets
    from lab.topology.model import Node, Topology

Config = dict[str, Any]
TAINT = "node-role.kubernetes.io/control-plane=true:NoExecute"
RESOLV_CONF = "/etc/rancher/k3s/resolv.conf"


def render(config: Config, allowed: frozenset[str]) -> bytes:
    """Render a configuration file.

    Raises ValueError for a key that is not documented for the role: that is a bug of ours.
    """
    unknown = sorted(set(config) - allowed)
    if unknown:
        raise ValueError(f"undocumented K3s keys: {', '.join(unknown)}")
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()).encode()


def _node(node: Node) -> Config:
    """What servers and agents write alike."""
    return {
        "node-name": node.name,
        # Without it K3s chooses an address itself, and the floating one could be it.
        "node-ip": str(node.ip),
        "flannel-iface": "eth0",
        # Files given so are not checked; the container's own resolv.conf names Docker's resolver,
        # which K3s would replace by 8.8.8.8.
        "resolv-conf": RESOLV_CONF,
        # K3s's own has another name in other releases and comes with its images: ours is there.
        "pause-image": PAUSE_IMAGE,
        "kubelet-arg": [
            # Hosts with cgroup v1 are refused by default since 1.35 (the flag exists since 1.31);
            # without effect on v2.
            "fail-cgroupv1=false",
            "node-status-update-frequency=4s",
            # All nodes share the host's disk: one full disk would evict everything everywhere
            # (K3s's own: at 5 %), and deleted images cannot come back: add-ons' were not pulled.
            "eviction-hard=imagefs.available<0%,nodefs.available<0%",
            "image-gc-high-threshold=100",
        ],
    }


def kubelet() -> bytes:
    """Render the settings that kubelet takes from a file only.

    K3s's leases of 40 s are renewed each 10 s, and a topology may ask for nodes that are NotReady
    after 10 s. Its status is told each 5 minutes where nothing changed; here as upstream's.
    """
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusReportFrequency": "4s",
    }
    return json.dumps(config, indent=1).encode()


def common(topology: Topology, secrets: Secrets) -> Config:
    """What all masters agree on: identical on each of them."""
    kubernetes = topology.kubernetes
    disable = ["traefik"]
    if "dns-ha" in topology.addons:
        # Not coredns.yaml.skip: with `disable` K3s also stops keeping the ConfigMap `coredns`,
        # which the add-on owns.
        disable.append("coredns")
    config: Config = {
        "token": secrets.text("token"),
        "agent-token": secrets.text("agent-token"),
        "tls-san": list(dict.fromkeys(topology.api_names)),
        "cluster-cidr": str(kubernetes.pod_cidr),
        "service-cidr": str(kubernetes.service_cidr),
        "cluster-dns": str(kubernetes.cluster_dns),
        "flannel-backend": "vxlan",
        "disable": disable,
        # A dead leader is replaced in 1 to 2 s as upstream, not in K3s's 5 to 10 s; the members
        # share one host, so its reason for long times (slow SD cards, distance) is not given. Both
        # joiners of three masters are learners at once: K3s promotes each 15 s only. Equal on all
        # masters, for each checks it (etcd 3.6, membership.ValidateMaxLearnerConfig). etcd 3.5
        # overlooks a key that it does not know and takes one at a time; a joiner then asks again
        # each second. Not more than two: a member that was added and does not run yet has no name,
        # and etcd takes two of no name in K3s's `initial-cluster` for one.
        "etcd-arg": ["heartbeat-interval=100", "election-timeout=1000", "max-learners=2"],
        # The lab's snapshots would only use its disk.
        "etcd-disable-snapshots": True,
        "etcd-expose-metrics": True,
        "kube-apiserver-arg": [
            "default-not-ready-toleration-seconds=30",
            "default-unreachable-toleration-seconds=30",
        ],
        "kube-controller-manager-arg": [
            "node-monitor-period=2s",
            f"node-monitor-grace-period={kubernetes.node_monitor_grace_ms}ms",
        ],
        "write-kubeconfig-mode": "0600",
    }
    if topology.workers:
        # NoExecute, as the reference installation: packaged add-ons, which tolerate NoSchedule
        # only, run on the workers.
        config["node-taint"] = [TAINT]
    return config


def master(topology: Topology, node: Node, *, booted: bool = False) -> Config:
    """What is one master's own. `booted`: the first master after its first boot, which may then know where others are.

    `server` together with `cluster-init` would make the first boot a join.
    """
    first = topology.masters[0]
    config: Config = {**_node(node), "advertise-address": str(node.ip)}
    if node != first:
        return {"server": f"https://{first.ip}:{KUBERNETES_PORT}", **config}
    if booted:
        return {
            "cluster-init": True,
            "server": f"https://{topology.network.vip}:{KUBERNETES_PORT}",
            **config,
        }
    return {"cluster-init": True, **config}


def rejoining(topology: Topology, node: Node, keeper: Node) -> Config:
    """What is the own of a master that lost its disk and joins the cluster that `keeper` is in.

    Not by the VIP: that may not be up, or be held by this very master.
    """
    own = master(topology, node)
    own.pop("cluster-init", None)
    return {**own, "server": f"https://{keeper.ip}:{KUBERNETES_PORT}"}


def agent(topology: Topology, node: Node, secrets: Secrets) -> Config:
    """The whole file of a worker."""
    return {
        "server": f"https://{topology.network.vip}:{KUBERNETES_PORT}",
        "token": secrets.text("agent-token"),
        **_node(node),
    }


def render_master(config: Config) -> bytes:
    """Render for a server."""
    return render(config, SERVER)


def render_agent(config: Config) -> bytes:
    """Render for an agent."""
    return render(config, AGENT)


def unit(role: str) -> bytes:
    """Render the systemd unit as K3s's installer writes it; `role` is server or agent."""
    name = "k3s" if role == "server" else "k3s-agent"
    return f"""[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-/etc/systemd/system/{name}.service.env
KillMode=process
Delegate=yes
User=root
{OPEN_FILES}
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s {role}
""".encode()


DROP_IN = "\n".join(
    (
        "[Unit]",
        "# Early failures are normal while peers are missing, and must not end the unit for good.",
        "StartLimitIntervalSec=0",
        "[Service]",
        "RestartSec=2s",
        *LOG_LIMIT,
        NO_LEADER,
        "",
    )
).encode()
CONTAINERD = b"""version = 3
[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE no process may be given a lower score than its parent's. Merged by containerd 2 from config-v3.toml.d.
  restrict_oom_score_adj = true
"""
