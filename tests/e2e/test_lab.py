"""The reference lab as it should be: nodes, quorum, address, load balancer, DNS, pods, Services."""

from __future__ import annotations

import json
import ssl
import subprocess
import textwrap
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from labs import docker

if TYPE_CHECKING:
    from pathlib import Path

    from labs import Inside

MASTERS, WORKERS = ("m", "m2", "m3"), ("w1", "w2", "w3")

PODS = textwrap.dedent("""
    apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: web}
    spec:
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          terminationGracePeriodSeconds: 0
          containers:
          - name: web
            image: halab/toolbox:1.0.0
            imagePullPolicy: Never
            command: [sh, -c, "mkdir -p /tmp/www && \
hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"]
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: web}
    spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
""")


@pytest.mark.distribution
def test_six_nodes_are_ready_with_their_roles_and_addresses(inside: Inside) -> None:
    items = json.loads(inside.kubectl("get", "nodes", "-o", "json"))["items"]
    found = {item["metadata"]["name"]: item for item in items}
    assert set(found) == {*MASTERS, *WORKERS}
    for name, ip in {node.name: str(node.ip) for node in inside.topology.nodes}.items():
        item = found[name]
        assert {row["type"]: row["status"] for row in item["status"]["conditions"]}[
            "Ready"
        ] == "True"
        assert {"type": "InternalIP", "address": ip} in item["status"]["addresses"]
        role = "control-plane" if name in MASTERS else "worker"
        assert f"node-role.kubernetes.io/{role}" in item["metadata"]["labels"]
        taints = [(row["key"], row["effect"]) for row in item["spec"].get("taints", [])]
        assert (("node-role.kubernetes.io/control-plane", "NoExecute") in taints) == (
            name in MASTERS
        )


def test_nodes_are_machines(inside: Inside) -> None:
    for name in (*MASTERS, *WORKERS, "lb"):
        assert inside.run(name, "hostname").strip() == name
        assert inside.run(name, "cat", "/proc/1/comm").strip() == "systemd"
    assert inside.run("m", "systemctl", "is-active", "corosync", "pacemaker").split() == [
        "active",
        "active",
    ]


def test_the_engine_counts_the_traffic_of_every_node(inside: Inside) -> None:
    names = [f"halab-{inside.lab}-{name}" for name in (*MASTERS, *WORKERS, "lb", "bmc")]
    counted = docker("stats", "--no-stream", "--format", "{{.Name}} {{.NetIO}}", *names)
    assert [line for line in counted.splitlines() if line.endswith(" 0B / 0B")] == []


@pytest.mark.distribution
def test_etcd_has_three_members_and_one_leader(inside: Inside) -> None:
    parts = [row["etcd"] for row in inside.status()["nodes"] if row["role"] == "master"]
    assert sorted(parts) == ["follower", "follower", "leader"]


@pytest.mark.distribution
def test_one_master_holds_the_vip_and_its_certificate_names_everything(inside: Inside) -> None:
    status = inside.status()
    assert len(status["vip_holders"]) == 1
    text = inside.run(
        "m",
        "sh",
        "-c",
        "openssl x509 -in /etc/kubernetes/apiserver.crt -noout -ext subjectAltName "
        "2>/dev/null || true",
    )
    made = inside.topology
    addresses = [made.network.vip, made.loadbalancer.ip, *(node.ip for node in made.masters)]
    names = [*map(str, addresses), "127.0.0.1", "localhost", str(made.kubernetes.service_cidr[1])]
    if text:
        assert [name for name in names if name not in text] == []


@pytest.mark.distribution
def test_the_api_answers_by_every_way_with_a_valid_certificate(inside: Inside) -> None:
    made = inside.topology
    for host in (made.network.vip, made.loadbalancer.ip, *(node.ip for node in made.masters)):
        assert inside.api(str(host)), host


@pytest.mark.distribution
def test_the_published_port_is_on_loopback_only_and_valid_for_it(inside: Inside) -> None:
    status = inside.status()
    port = status["api"].rsplit(":", 1)[1]
    ca = inside.run("lb", "cat", "/etc/halab/ca.crt")
    context = ssl.create_default_context(cadata=ca)
    for host in ("127.0.0.1", "localhost"):
        try:
            with urllib.request.urlopen(
                f"https://{host}:{port}/readyz", context=context, timeout=10
            ) as answer:
                assert answer.read() == b"ok"
        except (
            urllib.error.HTTPError
        ) as error:  # K3s lets nobody ask without a certificate; TLS is proven by then
            assert error.code == 401
    listening = subprocess.run(
        ["docker", "port", f"halab-{inside.lab}-lb"], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split(" -> ")[1].rsplit(":", 1)[0] for line in listening.splitlines()} == {
        "127.0.0.1"
    }


@pytest.mark.distribution
def test_dns_has_three_replicas_on_three_nodes_at_its_address(inside: Inside) -> None:
    pods = json.loads(
        inside.kubectl("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "json")
    )["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3
    service = json.loads(
        inside.kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "json")
    )
    assert service["spec"]["clusterIP"] == "10.43.0.99"


def test_a_command_takes_much_input_and_says_why_it_takes_none(inside: Inside) -> None:
    much = "0123456789abcde\n" * (1 << 19)  # 8 MiB: more than all buffers on the way
    assert inside.cli("exec", inside.lab, "w1", "--", "cat", stdin=much).stdout == much
    for _ in range(3):
        refused = inside.cli(
            "exec",
            inside.lab,
            "w1",
            "--",
            "sh",
            "-c",
            "echo no thanks; exit 7",
            stdin=much,
            code=7,
            timeout=60,
        )
        assert refused.stdout == "no thanks\n"


@pytest.mark.distribution
def test_pods_resolve_names_and_reach_each_other_across_nodes(
    inside: Inside, tmp_path: Path
) -> None:
    manifest = PODS
    inside.cli(
        "exec", inside.lab, "m", "--", "sh", "-c", f"cat > /root/web.yaml <<'END'\n{manifest}\nEND"
    )
    inside.kubectl("apply", "-f", "/root/web.yaml", node="m")
    try:
        inside.kubectl("rollout", "status", "daemonset/web", "--timeout=120s")
        pods = json.loads(inside.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
        where = {pod["spec"]["nodeName"]: pod for pod in pods}
        assert set(where) == set(WORKERS)  # the taint keeps them off the masters
        for node, pod in where.items():
            name = pod["metadata"]["name"]
            assert "10.43.0.99" in inside.kubectl("exec", name, "--", "cat", "/etc/resolv.conf")
            looked = inside.kubectl(
                "exec", name, "--", "nslookup", "kubernetes.default.svc.cluster.local"
            )
            assert "10.43.0.1" in looked, node
            for other in where.values():
                address = other["status"]["podIP"]
                assert (
                    inside.kubectl(
                        "exec", name, "--", "wget", "-qO-", "-T", "5", f"http://{address}:8080/"
                    ).strip()
                    == other["metadata"]["name"]
                )
            assert (
                inside.kubectl("exec", name, "--", "wget", "-qO-", "-T", "5", "http://web/")
                .strip()
                .startswith("web-")
            )
        events = inside.kubectl("get", "events", "-A", "-o", "jsonpath={.items[*].reason}")
        assert "Pulling" not in events.split()
    finally:
        inside.kubectl("delete", "-f", "/root/web.yaml", "--wait=true", node="m")


def test_a_name_outside_the_cluster_is_refused_at_once(inside: Inside) -> None:
    code, text = inside.try_run("w1", "busybox", "nslookup", "nowhere.example.", "10.43.0.99")
    assert code != 0
    assert "NXDOMAIN" in text


def test_nginx_keeps_watches_and_names_all_masters(inside: Inside) -> None:
    text = inside.run("lb", "nginx", "-T")
    assert all(f"{node.ip}:6443" in text for node in inside.topology.masters)


@pytest.mark.distribution
def test_no_unit_failed(inside: Inside) -> None:
    for name in (*MASTERS, *WORKERS, "lb"):
        assert inside.run(name, "systemctl", "list-units", "--failed", "--no-legend").strip() == ""


def test_an_anonymous_stranger_gets_nothing(inside: Inside) -> None:
    port = inside.status()["api"].rsplit(":", 1)[1]
    context = ssl.create_default_context(cadata=inside.run("lb", "cat", "/etc/halab/ca.crt"))
    try:
        urllib.request.urlopen(
            f"https://127.0.0.1:{port}/api/v1/secrets", context=context, timeout=10
        )
    except urllib.error.HTTPError as error:
        assert error.code in {401, 403}
    else:
        raise AssertionError("secrets without a certificate")
