"""Add-ons on the reference lab.

Each is enabled and used as its users would, and goes away again.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import browser
import pytest
from labs import HALAB, docker

from lab.addons import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from labs import Cli, Distribution, Inside

pytestmark = pytest.mark.addons
NODES = {"m", "m2", "m3", "w1", "w2", "w3"}
TOOLBOX = "halab/toolbox:1.0.0"


@pytest.fixture(scope="module")
def enable(halab: Cli, lab3: str, distribution: Distribution) -> Iterator[Callable[..., Any]]:
    """Enables add-ons; the lab has none of them afterwards."""
    on: list[str] = []

    def do(*names: str) -> Any:
        packaged = [name for name in names if distribution.name in catalog.find(name).packaged]
        if distribution.double and packaged:
            pytest.skip(f"the K3s double has no packaged components: {', '.join(packaged)}")
        on.extend(name for name in names if name not in on)
        done = halab("addon", "enable", lab3, *names, "-o", "json", timeout=1800)
        return json.loads(done.stdout)

    yield do
    rows = {row["name"]: row for row in halab.json("addon", "list", lab3)}
    for name in on:
        if rows[name]["enabled"]:
            halab("addon", "disable", lab3, name)


def apply(inside: Inside, *objects: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    inside.cli("kubectl", inside.lab, "--", "apply", "-f", "-", stdin=text)


def pod(name: str, command: str, **spec: Any) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": TOOLBOX,
        "command": ["sh", "-c", command],
        "volumeMounts": [{"name": "d", "mountPath": "/data"}],
    }
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "e2e-data"}}]
    body = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": volumes,
        **spec,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def fetch(url: str, timeout: float = 5) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def external(inside: Inside, service: str) -> str:
    """The address of a Service, which this machine must reach by the lab's own bridge."""

    def address() -> str:
        return inside.kubectl(
            "get", "service", service, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"
        ).strip()

    inside.eventually(f"service {service} has an address", lambda: bool(address()), 60)
    found = address()
    subnet = docker(
        "network", "inspect", f"halab-{inside.lab}", "--format", "{{(index .IPAM.Config 0).Subnet}}"
    ).strip()
    assert browser.through_bridge(found, subnet), f"{found} is not reached by the lab's bridge"
    return found


def test_metrics_server_gives_figures_and_enabling_twice_changes_nothing(
    enable: Callable[..., Any], inside: Inside
) -> None:
    (first,) = enable("metrics-server")
    assert "6 nodes" in first["seen"]
    before = inside.kubectl(
        "-n",
        "kube-system",
        "get",
        "deployment",
        "metrics-server",
        "-o",
        "jsonpath={.metadata.resourceVersion}",
    )
    (again,) = enable("metrics-server")
    assert again["changed"] is False
    assert before == inside.kubectl(
        "-n",
        "kube-system",
        "get",
        "deployment",
        "metrics-server",
        "-o",
        "jsonpath={.metadata.resourceVersion}",
    )
    assert {
        line.split()[0] for line in inside.kubectl("top", "nodes", "--no-headers").splitlines()
    } == NODES
    inside.eventually(
        "pods have figures",
        lambda: "coredns" in inside.kubectl("top", "pods", "-A", "--no-headers"),
        60,
    )


def test_a_volume_outlives_its_pod(enable: Callable[..., Any], inside: Inside) -> None:
    enable("local-storage")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "e2e-data"},
        "spec": claim,
    }

    def done(name: str) -> bool:
        return inside.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}") == "Succeeded"

    try:
        apply(inside, volume, pod("e2e-writer", "echo kept > /data/x && sync"))
        inside.eventually("the writer is done", lambda: done("e2e-writer"), 90)
        assert (
            inside.kubectl(
                "get", "pvc", "e2e-data", "-o", "jsonpath={.status.phase} {.spec.storageClassName}"
            )
            == "Bound local-path"
        )
        inside.kubectl("delete", "pod", "e2e-writer")
        apply(inside, pod("e2e-reader", "cat /data/x"))
        inside.eventually("the reader is done", lambda: done("e2e-reader"), 60)
        assert inside.kubectl("logs", "e2e-reader").strip() == "kept"
    finally:
        inside.kubectl(
            "delete",
            "pod/e2e-writer",
            "pod/e2e-reader",
            "pvc/e2e-data",
            "--ignore-not-found",
            "--wait=false",
        )


WEB = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "e2e-web"},
    "spec": {
        "selector": {"matchLabels": {"app": "e2e-web"}},
        "template": {
            "metadata": {"labels": {"app": "e2e-web"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "c",
                        "image": TOOLBOX,
                        "command": [
                            "sh",
                            "-c",
                            "hostname > /www/index.html; exec httpd -f -p 8080 -h /www",
                        ],
                    }
                ],
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "e2e-web"},
    # Local: only nodes with a pod of it announce the address, and nobody is sent on to a pod of a
    # dead node.
    "spec": {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "selector": {"app": "e2e-web"},
        "ports": [{"port": 80, "targetPort": 8080}],
    },
}


def answers(url: str) -> bool:
    try:
        return bool(fetch(url, 2))
    except (urllib.error.URLError, OSError):
        return False


def test_a_services_address_moves_when_its_node_dies(
    enable: Callable[..., Any], inside: Inside, halab: Cli, distribution: Distribution
) -> None:
    enable("loadbalancer")
    apply(inside, WEB, SERVICE)
    try:
        url = f"http://{external(inside, 'e2e-web')}/"
        inside.eventually("the service answers this machine", lambda: answers(url), 60)
        if distribution.name == "k3s":
            return  # every node answers at its own address: nothing moves

        def holder() -> str:
            path = 'jsonpath={.items[?(@.status.serviceName=="e2e-web")].status.node}'
            return inside.kubectl(
                "-n", "metallb-system", "get", "servicel2statuses", "-o", path
            ).strip()

        inside.eventually("somebody announces the address", lambda: holder() in NODES, 30)
        victim = holder()
        docker("kill", f"halab-{inside.lab}-{victim}")
        begin = time.monotonic()
        inside.eventually("another node answers for the address", lambda: answers(url), 60)
        seconds = time.monotonic() - begin
        print(
            f"the address of {victim} answers again {seconds:.1f} s after its death "
            "(asked one by one)"
        )
        halab("start", inside.lab, victim)
    finally:
        inside.kubectl(
            "delete", "service/e2e-web", "daemonset/e2e-web", "--ignore-not-found", "--wait=false"
        )


class Server:
    """Prometheus at its address."""

    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        return json.loads(
            fetch(f"http://{self.address}:9090/api/v1/query?query={quote(expression)}")
        )["data"]["result"]

    def firing(self) -> set[str]:
        """The alerts that fire; a server that moves to another node has none."""
        try:
            alerts = json.loads(fetch(f"http://{self.address}:9090/api/v1/alerts"))["data"][
                "alerts"
            ]
        except (urllib.error.URLError, OSError):
            return set()
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


@pytest.fixture
def prometheus(enable: Callable[..., Any], inside: Inside) -> Iterator[Server]:
    enable("loadbalancer", "prometheus")
    inside.kubectl(
        "expose",
        "deployment",
        "prometheus-server",
        "--type=LoadBalancer",
        "--name=prometheus-server-lb",
    )
    yield Server(external(inside, "prometheus-server-lb"))
    inside.kubectl("delete", "service", "prometheus-server-lb")


def test_prometheus_shows_six_nodes_in_a_browser_and_alerts_on_a_crash(
    prometheus: Server, inside: Inside, halab: Cli, tmp_path: Path
) -> None:
    inside.eventually(
        "the page answers", lambda: answers(f"http://{prometheus.address}:9090/-/ready"), 30
    )
    up = 'kube_node_status_condition{condition="Ready",status="true"} == 1'
    inside.eventually("six nodes are known to be up", lambda: len(prometheus.query(up)) == 6, 60)
    # Debian's page is the classic one, upstream's the newer one: the server leads to the one that
    # it has.
    with urllib.request.urlopen(f"http://{prometheus.address}:9090/", timeout=10) as answer:
        place = urlsplit(answer.geturl()).path
    html = browser.page(
        f"{prometheus.address}:9090", f"{place}?g0.expr={quote(up)}&g0.tab=1", tmp_path
    )
    rows = re.sub(r"<[^>]+>|\s", "", html).replace("&quot;", '"').split("Value", 1)[-1]
    assert {node for node in NODES if f'node="{node}"' in rows} == NODES, rows[-2000:]
    assert {
        row["metric"]["node"] for row in prometheus.query('count by (node) (up{job="kubelet"})')
    } == NODES
    inside.eventually("no alert fires in a quiet lab", lambda: not prometheus.firing(), 120)
    # The worker that carries neither the server nor what it asks about the cluster, and a master.
    carried = inside.kubectl(
        "get",
        "pods",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{'\\n'}{end}",
    )
    busy = {
        line.split()[1]
        for line in carried.splitlines()
        if line.startswith(("prometheus-server", "prometheus-kube-state"))
    }
    worker = min({"w1", "w2", "w3"} - busy)
    for node in ("m", worker):
        docker("kill", f"halab-{inside.lab}-{node}")
    wanted = {"etcdMembersDown", "KubeAPIDown", "KubeletDown", "KubeNodeNotReady"}
    begin = time.monotonic()
    inside.eventually("the crash's alerts fire", lambda: wanted <= prometheus.firing(), 150)
    print(f"all of {sorted(wanted)} fire {time.monotonic() - begin:.0f} s after the crash")
    assert "etcdInsufficientMembers" not in prometheus.firing()
    for node in ("m", worker):
        halab("start", inside.lab, node)
    inside.eventually("the alerts are over", lambda: not wanted & prometheus.firing(), 120)


def test_a_release_left_half_way_is_repaired(
    enable: Callable[..., Any], inside: Inside, halab: Cli
) -> None:
    enable("prometheus")
    halab("addon", "disable", inside.lab, "prometheus")
    # Helm as `enable` ran it, killed while it waits for pods: what a lost connection or a killed
    # halab leaves.
    place = "cd /var/lib/halab/helm && KUBECONFIG=$PWD/config HOME=$PWD"
    install = (
        f"{place} timeout -s KILL 3 ./helm install prometheus prometheus.tgz "
        "-f prometheus.values.json -n default --wait"
    )
    master = next(
        node
        for node in ("m", "m2", "m3")
        if inside.try_run(node, "test", "-e", "/var/lib/halab/helm/prometheus.tgz")[0] == 0
    )
    assert inside.try_run(master, "sh", "-c", install)[0] != 0
    assert "pending-install" in inside.run(
        master, "sh", "-c", f"{place} ./helm list -n default --all"
    )
    (outcome,) = enable("prometheus")
    assert outcome["changed"] is True
    assert "deployed" in inside.run(master, "sh", "-c", f"{place} ./helm list -n default")


def test_a_node_lost_while_images_are_loaded_gets_them_when_it_returns(
    enable: Callable[..., Any], inside: Inside, halab: Cli
) -> None:
    enable("local-storage")
    halab("addon", "disable", inside.lab, "local-storage")
    for node in ("w1", "w2", "w3"):
        inside.run(
            node,
            "sh",
            "-c",
            "ctr -n k8s.io images rm --sync "
            "$(ctr -n k8s.io images ls -q | grep -E 'local-path-provisioner')",
        )
    argv = [str(HALAB), "addon", "enable", inside.lab, "local-storage"]
    process = subprocess.Popen(
        argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=halab.environment
    )
    lines: list[str] = []

    def watch() -> None:
        assert process.stderr
        for line in process.stderr:
            lines.append(line)
            if "w3: loading" in line:
                docker("kill", f"halab-{inside.lab}-w3")

    thread = threading.Thread(target=watch)
    thread.start()
    code = process.wait(300)
    thread.join()
    assert code == 0, "".join(lines)
    assert any("w3: loading" in line for line in lines)
    halab("start", inside.lab, "w3")
    assert "rancher/local-path-provisioner" in inside.run(
        "w3", "ctr", "-n", "k8s.io", "images", "ls", "-q"
    )


def test_an_addon_is_disabled_while_a_worker_is_down(
    enable: Callable[..., Any], inside: Inside, halab: Cli
) -> None:
    enable("metrics-server")
    halab("fault", "inject", inside.lab, "crash", "w2")
    try:
        (outcome,) = json.loads(
            halab("addon", "disable", inside.lab, "metrics-server", "-o", "json").stdout
        )
        assert outcome["changed"] is True
        assert not inside.kubectl(
            "-n", "kube-system", "get", "deployment", "metrics-server", "--ignore-not-found"
        ).strip()
    finally:
        halab("fault", "heal", inside.lab)
    rows = {row["name"]: row for row in halab.json("addon", "list", inside.lab)}
    assert rows["metrics-server"]["enabled"] is False
    assert halab.json("addon", "disable", inside.lab, "metrics-server")[0]["changed"] is False
