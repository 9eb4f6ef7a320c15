"""K3s's configuration files and systemd units, as values and text.

Pure functions. Every key is checked against the documented ones (keys.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.nodes.arguments import listed, replaced
from lab.nodes.distributions.k3s.keys import AGENT, SERVER
from lab.nodes.files import HEARTBEATS, LOG_LIMIT, NO_LEADER, OPEN_FILES, PAUSE_IMAGE
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.kube.secrets import Secrets
    from lab.topology.model import Node, Pairs, Topology

Config = dict[str, Any]
TAINT = "node-role.kubernetes.io/control-plane=true:NoExecute"
RESOLV_CONF = "/etc/rancher/k3s/resolv.conf"
LISTS = frozenset(
    "disable etcd-arg helm-controller-arg kube-cloud-controller-manager-arg kube-proxy-arg "
    "node-label tls-san".split()
)
"""Of the keys that a topology may set, those that K3s takes several values of."""


def render(config: Config, allowed: frozenset[str]) -> bytes:
    """Render a configuration file, one key a line.

    Raises ValueError for a key that is not documented for the role, which is a bug of ours.
    """
    unknown = sorted(set(config) - allowed)
    if unknown:
        raise ValueError(f"undocumented K3s keys: {', '.join(unknown)}")
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()).encode()


def _node(topology: Topology, node: Node) -> Config:
    """Return the keys that servers and agents share."""
    config: Config = {
        "node-name": node.name,
        # Left to itself, K3s chooses an address, possibly the floating one.
        "node-ip": str(node.ip),
        "flannel-iface": "eth0",
        # K3s does not check a file that is named here. The container's own resolv.conf names
        # Docker's resolver, which K3s would replace by 8.8.8.8.
        "resolv-conf": RESOLV_CONF,
        # K3s's own pause image is named differently from release to release and comes with K3s's
        # images. Ours is on every node.
        "pause-image": PAUSE_IMAGE,
        "kubelet-arg": [
            # Since 1.35 kubelet refuses hosts with cgroup v1 by default. The flag exists since
            # 1.31 and does nothing on v2.
            "fail-cgroupv1=false",
            "node-status-update-frequency=4s",
            # All nodes share the host's disk: one full disk would evict everything everywhere
            # (K3s's own threshold is 5 %). Deleted images cannot come back: those of add-ons were
            # never pulled.
            "eviction-hard=imagefs.available<0%,nodefs.available<0%",
            "image-gc-high-threshold=100",
        ],
    }
    _extend(config, "kubelet-arg", listed(topology.kubernetes.args.kubelet))
    return config


def _extend(config: Config, key: str, given: list[str]) -> None:
    """Add to a list; what halab has of the same name goes. Nothing given changes nothing."""
    if given:
        config[key] = replaced(config.get(key, []), given)


def _own(config: Config, given: Pairs, allowed: frozenset[str]) -> None:
    """Set the user's keys of K3s's configuration, where the role knows them."""
    for key in dict.fromkeys(name for name, _ in given if name in allowed):
        chosen = [value for name, value in given if name == key]
        if key in LISTS:
            _extend(config, key, chosen)
        else:
            config[key] = {"true": True, "false": False}.get(chosen[-1], chosen[-1])


def kubelet() -> bytes:
    """Render the settings that kubelet takes from a file only, as JSON.

    K3s's leases last 40 s and are renewed every 10 s, but a topology may want nodes NotReady after
    10 s.
    """
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        **HEARTBEATS,
    }
    return json.dumps(config, indent=1).encode()


def common(topology: Topology, secrets: Secrets) -> Config:
    """Return the keys that are identical on all masters."""
    kubernetes = topology.kubernetes
    disable = ["traefik"]
    if "dns-ha" in topology.addons:
        # A file coredns.yaml.skip would not do: with `disable` K3s also leaves alone the ConfigMap
        # `coredns`, which the add-on owns.
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
        # Times: a dead leader is replaced in 1 to 2 s, as upstream, instead of K3s's 5 to 10 s.
        # K3s's reason for long times (slow SD cards, distance) does not hold: the members share
        # one host.
        # Learners: both joiners of three masters learn at once, because K3s promotes only every
        # 15 s. The value must be equal on all masters, since each checks it (etcd 3.6,
        # membership.ValidateMaxLearnerConfig). etcd 3.5 ignores the unknown key and takes one
        # learner at a time; a joiner then asks again every second. Not more than two: a member that
        # was added but does not run yet has no name, and etcd takes two nameless ones in K3s's
        # `initial-cluster` for one.
        "etcd-arg": ["heartbeat-interval=100", "election-timeout=1000", "max-learners=2"],
        # Snapshots of a lab would only use its disk.
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
        # NoExecute, as in the reference installation: packaged add-ons tolerate NoSchedule only,
        # and so run on the workers.
        config["node-taint"] = [TAINT]
    args = kubernetes.args
    _extend(config, "kube-apiserver-arg", listed(args.apiserver))
    _extend(config, "kube-controller-manager-arg", listed(args.controller_manager))
    _extend(config, "kube-scheduler-arg", listed(args.scheduler))
    _own(config, args.k3s, SERVER)
    return config


def master(topology: Topology, node: Node, *, booted: bool = False) -> Config:
    """Return the keys of one master alone.

    `booted` is for the first master after its first boot: only then may it know where the others
    are, since `server` beside `cluster-init` would turn the first boot into a join.
    """
    first = topology.masters[0]
    config: Config = {**_node(topology, node), "advertise-address": str(node.ip)}
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
    """Return the keys of a master that lost its disk and joins the cluster that `keeper` is in.

    It does not join through the VIP, which may be down or held by this very master.
    """
    own = master(topology, node)
    own.pop("cluster-init", None)
    return {**own, "server": f"https://{keeper.ip}:{KUBERNETES_PORT}"}


def agent(topology: Topology, node: Node, secrets: Secrets) -> Config:
    """Return the keys of a worker: its whole file."""
    config = {
        "server": f"https://{topology.network.vip}:{KUBERNETES_PORT}",
        "token": secrets.text("agent-token"),
        **_node(topology, node),
    }
    _own(config, topology.kubernetes.args.k3s, AGENT)
    return config


def render_master(config: Config) -> bytes:
    """Render a server's configuration file, as `render` does."""
    return render(config, SERVER)


def render_agent(config: Config) -> bytes:
    """Render an agent's configuration file, as `render` does."""
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
  # Without CAP_SYS_RESOURCE no process may be given a lower score than its parent's. \
Merged by containerd 2 from config-v3.toml.d.
  restrict_oom_score_adj = true
"""
