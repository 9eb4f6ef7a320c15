"""What only K3s does: its order of joining, voters, tokens, restarts with a dead server, its files.

On the real one or the double.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import k3s_source
import pytest
from labs import docker

if TYPE_CHECKING:
    from labs import Cli, Distribution, Inside

pytestmark = pytest.mark.distribution
SERVER = "/var/lib/rancher/k3s/server"


@pytest.fixture(autouse=True)
def only_k3s(distribution: Distribution) -> None:
    if distribution.name != "k3s":
        pytest.skip("these are about K3s: run with --halab-distribution k3s")


def voters(inside: Inside) -> dict[str, str]:
    items = json.loads(inside.kubectl("get", "nodes", "-o", "json"))["items"]
    return {
        item["metadata"]["name"]: row["status"]
        for item in items
        for row in item["status"]["conditions"]
        if row["type"] == "EtcdIsVoter"
    }


def test_the_double_is_called_a_double(inside: Inside, distribution: Distribution) -> None:
    status = inside.status()
    assert status["distribution"] == "k3s"
    assert (k3s_source.DOUBLE in status["release"]) == distribution.double
    assert (k3s_source.DOUBLE in inside.cli("status", inside.lab).stdout) == distribution.double


def test_all_masters_are_voters(inside: Inside) -> None:
    """K3s writes the condition a tick (15 s) after it has made a master a voter."""
    wanted = {"m": "True", "m2": "True", "m3": "True"}
    inside.eventually("all masters are voters", lambda: voters(inside) == wanted, 60)


def test_tokens_and_kubeconfig_are_k3ss(inside: Inside) -> None:
    token = inside.run("m", "cat", f"{SERVER}/token").strip()
    assert token.startswith("K10")
    assert inside.run("m2", "cat", f"{SERVER}/token").strip() == token
    agent = inside.run("m", "cat", f"{SERVER}/agent-token").strip()
    assert agent != token
    text = inside.run("m", "cat", "/etc/rancher/k3s/k3s.yaml")
    assert "https://127.0.0.1:6443" in text
    assert inside.run("m", "stat", "-c", "%a", "/etc/rancher/k3s/k3s.yaml").strip() == "600"
    assert inside.run("m", "curl", "-sk", "https://127.0.0.1:6443/ping") == "pong"


def test_an_agents_token_opens_no_servers_door(inside: Inside) -> None:
    secret = inside.run("m", "cat", f"{SERVER}/agent-token").strip().rsplit(":", 1)[1]
    ask = (
        "curl",
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-u",
        f"node:{secret}",
        "https://127.0.0.1:6443/v1-k3s/server-bootstrap",
    )
    assert inside.run("m", *ask) in {"401", "403"}


def test_a_snapshot_is_saved(inside: Inside) -> None:
    inside.run("m2", "k3s", "etcd-snapshot", "save", "--name", "e2e")
    assert "e2e-m2" in inside.run("m2", "ls", f"{SERVER}/db/snapshots")


def test_a_manifest_laid_down_is_applied(inside: Inside) -> None:
    text = "apiVersion: v1\\nkind: ConfigMap\\nmetadata: {name: laid-down, namespace: default}\\n"
    inside.run("m3", "sh", "-c", f"printf '{text}' > {SERVER}/manifests/laid-down.yaml")
    inside.eventually(
        "the manifest is applied",
        lambda: inside.try_run("m", "kubectl", "get", "configmap", "laid-down")[0] == 0,
        60,
    )


def test_the_first_master_knows_another_server_after_its_first_boot(inside: Inside) -> None:
    shown = inside.run("m", "cat", "/etc/rancher/k3s/config.yaml.d/20-node.yaml")
    assert f"https://{inside.vip}:6443" in shown


def test_images_are_imported_once_not_at_each_start(inside: Inside) -> None:
    """The cache is in the image: without it K3s imports its whole archive at each start.

    K3s: pkg/agent/containerd/watcher.go.
    """
    folder = "/var/lib/rancher/k3s/agent/images"
    count = "journalctl --no-pager -u k3s-agent | grep -c 'Imported [0-9]* images from '"
    archives = int(inside.run("w2", "sh", "-c", f"ls {folder} | grep -c '[.]tar'"))
    assert archives
    assert int(inside.run("w2", "sh", "-c", count)) == archives
    inside.run(
        "w2", "systemctl", "restart", "k3s-agent"
    )  # the unit tells when it is ready: all imports are done
    assert int(inside.run("w2", "sh", "-c", count)) == archives


def test_a_master_restarts_from_its_own_data_when_its_server_is_dead(
    inside: Inside, halab: Cli
) -> None:
    """m2 joined through m. With m dead, m2's own data are enough."""
    docker("kill", f"halab-{inside.lab}-m")
    inside.run("m2", "systemctl", "restart", "--no-block", "k3s")
    inside.eventually(
        "m2 serves again",
        lambda: inside.try_run("m2", "kubectl", "get", "--raw", "/readyz")[1].endswith("ok"),
        180,
    )
    halab("start", inside.lab, "m")


def test_one_of_three_alone_ends_itself_and_never_becomes_ready(inside: Inside, halab: Cli) -> None:
    """The one that leads K3s's controllers loses their lease with the quorum.

    The process ends, and is started again.
    """
    ask = (
        "kubectl",
        "-n",
        "kube-system",
        "get",
        "lease",
        "k3s",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    )
    left = inside.run("m2", *ask).strip()
    process = ("systemctl", "show", "-P", "MainPID", "k3s")
    before = inside.run(left, *process)
    for name in sorted({"m", "m2", "m3"} - {left}):
        docker("kill", f"halab-{inside.lab}-{name}")
    inside.eventually(
        "K3s ends itself", lambda: inside.run(left, *process) not in {before, "0\n"}, 180
    )
    code, _ = inside.try_run(
        left,
        "sh",
        "-c",
        "for i in $(seq 20); do sleep 1; "
        "systemctl is-active k3s | grep -qx active && exit 3; done; exit 0",
    )
    assert code == 0
    halab("start", inside.lab)
    inside.eventually(
        "all are voters", lambda: voters(inside) == {"m": "True", "m2": "True", "m3": "True"}, 60
    )


def test_a_rebuilt_worker_is_no_stranger(inside: Inside, halab: Cli) -> None:
    docker("rm", "-fv", f"halab-{inside.lab}-w1")
    docker("volume", "rm", f"halab-{inside.lab}-w1-k3s", f"halab-{inside.lab}-w1-kubelet")
    assert halab.json("start", inside.lab)["changed"] is True
    assert "password rejected" not in inside.run(
        "w1", "journalctl", "--no-pager", "-u", "k3s-agent"
    )
    assert {row["name"]: row["kubernetes"] for row in inside.status()["nodes"]}["w1"] == "Ready"
