"""Upstream Kubernetes as systemd units: each component's command line, and why. Pure text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.nodes.arguments import options, replaced
from lab.nodes.files import LOG_LIMIT, NO_LEADER, OPEN_FILES
from lab.topology.model import KUBERNETES_PORT, MachineSize

if TYPE_CHECKING:
    from lab.topology.model import Node, Topology

K8S = "/etc/kubernetes"
ETCD = "/etc/etcd"
KUBELET_FOLDER = f"{K8S}/kubelet.conf.d"
"""Further settings of kubelet, which it reads from v1.30 on."""
GARBAGE = "Environment=GOGC=50"
"""Every component is written in Go. Collecting garbage at half the usual growth takes a tenth off
an idle lab's memory, and a start takes no longer (measured)."""
LEADER_ELECTION = ("--leader-elect-lease-duration=10s", "--leader-elect-renew-deadline=7s")
"""A dead leader is replaced after 10 s instead of 15 s. A deadline of 7 s leaves time for an etcd
election and a slow answer."""
CONTROL_PLANE_TAINT = "node-role.kubernetes.io/control-plane"

PRINT_CODE = r"-w '%%{stderr}%%{http_code}\\n'"
"""An option of curl, as systemd reads it: print the code to standard error, which has no buffer."""
ONCE = "--http1.1 -H 'Connection: close'"
"""Options of curl: each question by a connection of its own. Behind the load balancer a kept one
would ask a master that boots until it has booted, while others serve already."""


def unit(
    description: str, argv: list[str], *, after: str = "", service: tuple[str, ...] = ()
) -> bytes:
    """Render a unit that systemd restarts without limit.

    At boot its peers are missing, and five early failures must not end it for good.
    """
    lines = [
        "[Unit]",
        f"Description={description}",
        f"After=network.target {after}".rstrip(),
        "StartLimitIntervalSec=0",
        "",
    ]
    lines += ["[Service]", "ExecStart=" + " \\\n    ".join(argv), "Restart=always", "RestartSec=1"]
    lines += [*LOG_LIMIT, GARBAGE, *service, ""]
    return "\n".join([*lines, "[Install]", "WantedBy=multi-user.target", ""]).encode()


def await_api(node: Node) -> tuple[str, ...]:
    """Return service lines that wait for this master's API server.

    A component that starts before it would exit and restart, three times over.
    """
    url = f"https://{node.ip}:{KUBERNETES_PORT}/readyz"
    wait = await_answer(f"-o /dev/null {PRINT_CODE} --cacert {K8S}/ca.crt", url, "200")
    return wait, "TimeoutStartSec=infinity"


def await_answer(options: str, url: str, word: str) -> str:
    """Return a service line that asks until an answer has this word.

    One curl asks four times a second by a kept connection. A new one for each question took 5.7 %
    of all processor time of a lab's start, and more than a tenth in its middle (measured).
    """
    # The server ignores the number behind the question mark. curl goes on when nobody reads it any
    # more, and systemd does not end it.
    curl = f"curl -sN --rate 4/s --max-time 2 {options} '{url}?[1-1000000]' 2>&1"
    return f'ExecStartPre=/bin/bash -c "exec < <(exec {curl}); grep -qm1 {word} && kill $!"'


def etcd(topology: Topology, node: Node, *, state: str = "new") -> bytes:
    """Render etcd's unit, with a static list of members: all start at once, none is special.

    `state` is `existing` for a member that lost its data and was added to the others again.
    """
    peers = ",".join(f"{master.name}=https://{master.ip}:2380" for master in topology.masters)
    argv = [
        "/usr/local/bin/etcd",
        f"--name={node.name}",
        "--data-dir=/var/lib/etcd/data",
        f"--listen-peer-urls=https://{node.ip}:2380",
        f"--initial-advertise-peer-urls=https://{node.ip}:2380",
        f"--listen-client-urls=https://127.0.0.1:2379,https://{node.ip}:2379",
        f"--advertise-client-urls=https://{node.ip}:2379",
        f"--initial-cluster={peers}",
        f"--initial-cluster-token={topology.name}",
        f"--initial-cluster-state={state}",
        *(f"--{prefix}cert-file={ETCD}/etcd.crt" for prefix in ("", "peer-")),
        *(f"--{prefix}key-file={ETCD}/etcd.key" for prefix in ("", "peer-")),
        *(f"--{prefix}trusted-ca-file={ETCD}/ca.crt" for prefix in ("", "peer-")),
        "--client-cert-auth",
        "--peer-client-cert-auth",
        # Health and metrics need no certificate: on loopback for halab, on the lab's own network
        # for Prometheus (as K3s's etcd-expose-metrics). With a client certificate in a Secret,
        # whoever reads that could read all of etcd.
        f"--listen-metrics-urls=http://127.0.0.1:2381,http://{node.ip}:2381",
        "--logger=zap",
        "--log-level=warn",
    ]
    # All nodes share one disk and its processors: a slow fsync must not cost a healthy member its
    # leadership, and a heartbeat (100 ms) must not wait for a processor. Niceness counts where the
    # machine has no controller for processors.
    return unit("etcd", argv, service=("Nice=-5", "CPUWeight=500"))


def apiserver(topology: Topology, node: Node) -> bytes:
    """Render the API server's unit.

    It uses its own etcd member only, so that a master without quorum says so.
    """
    argv = [
        "/usr/local/bin/kube-apiserver",
        f"--advertise-address={node.ip}",
        f"--secure-port={KUBERNETES_PORT}",
        "--etcd-servers=https://127.0.0.1:2379",
        f"--etcd-cafile={ETCD}/ca.crt",
        f"--etcd-certfile={ETCD}/etcd.crt",
        f"--etcd-keyfile={ETCD}/etcd.key",
        f"--tls-cert-file={K8S}/apiserver.crt",
        f"--tls-private-key-file={K8S}/apiserver.key",
        f"--client-ca-file={K8S}/ca.crt",
        f"--kubelet-client-certificate={K8S}/kubelet-client.crt",
        f"--kubelet-client-key={K8S}/kubelet-client.key",
        f"--kubelet-certificate-authority={K8S}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={K8S}/sa.pub",
        f"--service-account-signing-key-file={K8S}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={topology.kubernetes.service_cidr}",
        f"--requestheader-client-ca-file={K8S}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={K8S}/front-proxy-client.crt",
        f"--proxy-client-key-file={K8S}/front-proxy-client.key",
        # A dead master's endpoint leaves the Service `kubernetes` after 15 s instead of never.
        "--endpoint-reconciler-type=lease",
        # Pods leave a dead node after 30 s instead of five minutes: nobody waits that long in a
        # lab.
        "--default-not-ready-toleration-seconds=30",
        "--default-unreachable-toleration-seconds=30",
        # Nobody profiles memory or CPU in a lab.
        "--profiling=false",
    ]
    # All masters stop together: without the others' etcd members it would wait for answers, though
    # it has nothing of its own to save.
    service = (NO_LEADER, "TimeoutStopSec=1")
    argv = replaced(argv, options(topology.kubernetes.args.apiserver))
    return unit("Kubernetes API server", argv, after="etcd.service", service=service)


def controller_manager(topology: Topology, node: Node) -> bytes:
    """Render the controller manager's unit; that of one master leads."""
    config = f"{K8S}/controller-manager.conf"
    grace = topology.kubernetes.node_monitor_grace_ms
    argv = [
        "/usr/local/bin/kube-controller-manager",
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={K8S}/sa.key",
        f"--root-ca-file={K8S}/ca.crt",
        f"--cluster-signing-cert-file={K8S}/ca.crt",
        f"--cluster-signing-key-file={K8S}/ca.key",
        "--allocate-node-cidrs",
        f"--cluster-cidr={topology.kubernetes.pod_cidr}",
        f"--service-cluster-ip-range={topology.kubernetes.service_cidr}",
        "--bind-address=127.0.0.1",
        f"--node-monitor-grace-period={grace}ms",
        "--node-monitor-period=2s",
        # Forty controllers each begin with a service account. At the default of 20 requests per
        # second that takes 4 s.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        *LEADER_ELECTION,
    ]
    argv = replaced(argv, options(topology.kubernetes.args.controller_manager))
    return unit(
        "Kubernetes controller manager",
        argv,
        after="kube-apiserver.service",
        service=await_api(node),
    )


def scheduler(topology: Topology, node: Node) -> bytes:
    """Render the scheduler's unit; that of one master leads."""
    config = f"{K8S}/scheduler.conf"
    purposes = ("", "authentication-", "authorization-")
    flags = [f"--{purpose}kubeconfig={config}" for purpose in purposes]
    argv = ["/usr/local/bin/kube-scheduler", *flags, "--bind-address=127.0.0.1", *LEADER_ELECTION]
    argv = replaced(argv, options(topology.kubernetes.args.scheduler))
    return unit(
        "Kubernetes scheduler", argv, after="kube-apiserver.service", service=await_api(node)
    )


PODS_END = (
    "ExecStopPost=-/bin/sh -c 'systemctl is-system-running | grep -q stopping && "
    "find /sys/fs/cgroup -path *kubepods* -name cgroup.procs -exec cat {} + "
    "| sort -u | xargs -r kill -9'"
)
"""Kills the pods, but only when the machine shuts down: nobody else would end them then, and
systemd would wait its whole time-out for them."""


def containerd() -> bytes:
    """Render the container runtime's unit. KillMode=process: pods outlive its restart."""
    # Type=notify: kubelet exits if it finds no runtime, so it starts once containerd is there.
    limits = (OPEN_FILES, "OOMScoreAdjust=0", "TasksMax=infinity")
    service = ("Type=notify", "Delegate=yes", "KillMode=process", *limits, PODS_END)
    return unit("containerd", ["/usr/local/bin/containerd"], service=service)


def kubelet(topology: Topology, node: Node) -> bytes:
    """Render kubelet's unit. Its settings are in kubelet.yaml; options win over them."""
    argv = [
        "/usr/local/bin/kubelet",
        f"--config={K8S}/kubelet.yaml",
        f"--kubeconfig={K8S}/kubelet.conf",
        f"--hostname-override={node.name}",
        f"--node-ip={node.ip}",
        *([f"--config-dir={KUBELET_FOLDER}"] if node.size != MachineSize() else []),
        *options(topology.kubernetes.args.kubelet),
    ]
    service = ("Delegate=yes", "KillMode=process")
    return unit("kubelet", argv, after="containerd.service", service=service)


def kube_proxy(topology: Topology, node: Node) -> bytes:
    """Render kube-proxy's unit: it makes Services' addresses work on this node, by iptables."""
    argv = [
        "/usr/local/bin/kube-proxy",
        f"--kubeconfig={K8S}/kube-proxy.conf",
        f"--hostname-override={node.name}",
        f"--cluster-cidr={topology.kubernetes.pod_cidr}",
        # These sysctls belong to the host; a container may not set them.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--metrics-bind-address=127.0.0.1:10249",
    ]
    refuse = tuple(
        _refuse(chain, str(topology.kubernetes.service_cidr)) for chain in ("OUTPUT", "FORWARD")
    )
    return unit("kube-proxy", argv, service=refuse)


def _refuse(chain: str, services: str) -> str:
    """Return a service line that refuses packets to Services, unless the rule is there already.

    Before kube-proxy's own rules exist, such packets would leave by the default route, and their
    senders would wait for half a minute. The rule stands behind the translation of addresses: it
    meets only what was not translated.
    """
    rule = f"{chain} -d {services} -j REJECT"
    return f"ExecStartPre=/bin/sh -c 'iptables -w -C {rule} 2>/dev/null || iptables -w -A {rule}'"


def flannel(node: Node, server: str) -> bytes:
    """Render the unit of the pod network (vxlan).

    It waits until the node has its pod range: earlier, flannel stalls for 30 s and exits.
    """
    tls = f"--cacert {K8S}/ca.crt --cert {K8S}/flannel.crt --key {K8S}/flannel.key"
    wait = await_answer(f"{ONCE} {tls}", f"{server}/api/v1/nodes/{node.name}", "podCIDR")
    argv = [
        "/usr/local/bin/flannel",
        "--kube-subnet-mgr",
        f"--kubeconfig-file={K8S}/flannel.conf",
        "--iface=eth0",
        "--ip-masq",
        # A machine forwards packets anyway: its chain FORWARD accepts what no rule refuses.
        "--iptables-forward-rules=false",
        # How often it checks its rules, in seconds; 5 by default. In a lab nobody else writes
        # rules, and each check begins a dozen programs on every node.
        "--iptables-resync=3600",
    ]
    service = (
        f"Environment=NODE_NAME={node.name}",
        # It says when the node's range is written down: until then halab-cni has nothing to read.
        "Type=notify",
        wait,
        "ExecStartPost=/usr/local/sbin/halab-cni",
        "TimeoutStartSec=infinity",
    )
    return unit("flannel", argv, service=service)
