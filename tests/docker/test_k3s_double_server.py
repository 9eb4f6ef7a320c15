"""One server of the K3s double, whole.

What it refuses to do for halab, the real one refuses as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from the_double import ARCHIVE, CONFIG

from lab.engine.files import File
from lab.nodes.distributions.k3s import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from machines import Machine

pytestmark = pytest.mark.double
DATA = "/var/lib/rancher/k3s"
IMAGES = f"{DATA}/agent/images"
ETCD = f"{DATA}/server/tls/etcd"
UNIT = b"""[Service]
# Its data cannot lie on the container's own overlay; the machine's only volume is containerd's.
ExecStartPre=/bin/sh -c 'mountpoint -q /var/lib/rancher || \
mount --bind /var/lib/containerd /var/lib/rancher'
ExecStart=/usr/local/bin/k3s server
Delegate=yes
KillMode=mixed
"""
SETTINGS = b"""token: abc
cluster-init: true
resolv-conf: /etc/k3s-resolv.conf
kubelet-arg: [fail-cgroupv1=false]
"""
READY_S = 600
"""An API server alone has needed minutes on two cores that compile besides."""


class Server:
    """The machine that it runs on, and what its journal says."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def sh(self, line: str) -> str:
        return self.machine.run("sh", "-c", line)[1].strip()

    def said(self, what: str) -> int:
        return int(self.sh(f"journalctl --no-pager -u k3s | grep -c '{what}'"))

    def start(self) -> None:
        """Start it, or start it again, and wait for its kubelet: all imports are done then."""
        before = self.said("Running kubelet ")
        self.machine.run("systemctl", "restart", "--no-block", "k3s")
        self.machine.eventually(
            "kubelet runs", lambda: self.said("Running kubelet ") > before, READY_S
        )

    def imported(self) -> int:
        return self.said("Imported [0-9]* images from ")

    def kubectl(self, words: str) -> str:
        return self.sh(f"k3s kubectl {words}")


@pytest.fixture
def server(machine: Callable[..., Machine], double: tuple[bytes, bytes]) -> Server:
    program, archive = double
    made = machine(
        "node",
        files=(
            File(path="/usr/local/bin/k3s", content=program, mode=0o755),
            File(path=f"/opt/{ARCHIVE}", content=archive),
            File(path="/etc/systemd/system/k3s.service", content=UNIT),
            File(path=CONFIG, content=SETTINGS),
            # The pod's own loopback: a CoreDNS that forwards to it asks itself.
            File(path="/etc/k3s-resolv.conf", content=b"nameserver 127.0.0.1\n"),
        ),
    )
    made.await_boot()
    made.run(
        "sh", "-c", "mkdir -p /var/lib/rancher && mount --bind /var/lib/containerd /var/lib/rancher"
    )
    drop_in = f"{DATA}/agent/etc/containerd/config-v3.toml.d"
    made.run("sh", "-c", f"mkdir -p {IMAGES} {drop_in} && mv /opt/{ARCHIVE} {IMAGES}")
    made.run("sh", "-c", f"cat > {drop_in}/10.toml <<'END'\n{config.CONTAINERD.decode()}\nEND\n")
    return Server(made)


def test_every_start_imports_all_images_unless_their_cache_is_wished_for(server: Server) -> None:
    server.start()
    server.start()
    assert server.imported() == 2
    assert server.machine.run("test", "-e", f"{IMAGES}/.cache.json")[0] != 0
    server.sh(f"touch {IMAGES}/.cache.json")
    server.start()
    assert server.imported() == 3
    cache = json.loads(server.sh(f"cat {IMAGES}/.cache.json"))
    assert sorted(cache) == [f"{IMAGES}/{ARCHIVE}"]
    server.start()
    assert server.imported() == 3
    server.sh(f"cp {IMAGES}/{ARCHIVE} {IMAGES}/second.tar")
    server.start()
    assert server.imported() == 4


def test_a_server_alone(server: Server) -> None:
    machine = server.machine
    machine.run("systemctl", "start", "--no-block", "k3s")
    ask, codes = (
        "curl -sk -o /dev/null -w '%{http_code}' --max-time 5 https://127.0.0.1:6443/readyz",
        set(),
    )

    def answered() -> bool:
        codes.add(server.sh(ask))
        return "401" in codes

    # Without a certificate: 503 before there is an API server, then 401 for ever, ready or not.
    machine.eventually("the API server answers", answered, READY_S)
    assert codes <= {"000", "503", "401"}
    assert "503" in codes
    machine.eventually("it is ready", lambda: server.kubectl("get --raw /readyz") == "ok", READY_S)
    assert server.sh(ask) == "401"

    proof = f"--cacert {ETCD}/server-ca.crt --cert {ETCD}/client.crt --key {ETCD}/client.key"
    curl = f"curl -s --max-time 5 {proof} -d '{{}}'"
    members = json.loads(server.sh(f"{curl} https://127.0.0.1:2382/v3/cluster/member/list"))[
        "members"
    ]
    assert [item["name"].rpartition("-")[0] for item in members] == ["m"]
    assert "members" not in server.sh(f"{curl} https://127.0.0.1:2379/v3/cluster/member/list")

    leases = lambda: server.kubectl("-n kube-system get leases -o name").split()  # noqa: E731 (asked again and again)
    wanted = {
        f"lease.coordination.k8s.io/{name}"
        for name in ("k3s", "k3s-etcd", "k3s-cloud-controller-manager")
    }
    machine.eventually("K3s's own leases are held", lambda: wanted <= set(leases()), READY_S)

    find = "-n kube-system get configmap coredns -o"
    machine.eventually(
        "the packaged CoreDNS is deployed",
        lambda: "m" in server.kubectl(f"{find} jsonpath={{.data.NodeHosts}}").split(),
        READY_S,
    )
    corefile = server.kubectl(f"{find} jsonpath={{.data.Corefile}}")
    assert all(word in corefile for word in ("forward . /etc/resolv.conf", "loop"))
    logs = "-n kube-system logs deployment/coredns"
    machine.eventually(
        "it ends where it asks itself",
        lambda: any(
            "detected for zone" in server.kubectl(f"{logs}{more}") for more in ("", " --previous")
        ),
        READY_S,
    )
    server.sh(f"mkdir {CONFIG}.d && echo 'disable: [coredns]' > {CONFIG}.d/off.yaml")
    server.start()
    gone = lambda: "NotFound" in server.kubectl("-n kube-system get deployment coredns 2>&1")  # noqa: E731 (asked again and again)
    machine.eventually("a disabled component's objects are deleted", gone, READY_S)
    assert machine.run("test", "-e", f"{DATA}/server/manifests/coredns.yaml")[0] != 0
