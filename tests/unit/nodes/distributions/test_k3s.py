"""K3s's files held against its documentation.

No key that the role does not know, private tokens, the order of joining.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from lab.addons import helm
from lab.engine.commands import Result
from lab.images import k3s_release
from lab.kube.pki import new_secrets
from lab.nodes import files as nodefiles
from lab.nodes.distributions import find
from lab.nodes.distributions.k3s import NODE_FILE, config
from lab.nodes.distributions.k3s import keys as k3s_keys
from lab.nodes.distributions.upstream import units as kubeunits
from lab.topology import loader

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext
    from lab.engine.files import File
    from lab.engine.node import NodeHandle

K3S = find("k3s")
TOPOLOGY = loader.load(Path(__file__).parents[4] / "topologies" / "3m3w.yaml").topology
SECRETS = new_secrets("test")


def files(name: str) -> dict[str, File]:
    return {file.path: file for file in K3S.files(TOPOLOGY, TOPOLOGY.node(name), SECRETS)}


def keys(file: File) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in file.content.decode().splitlines())


@pytest.mark.parametrize("name", ["m", "m2", "m3"])
def test_masters_write_documented_server_keys_only(name: str) -> None:
    written = {
        **keys(files(name)["/etc/rancher/k3s/config.yaml.d/10-common.yaml"]),
        **keys(files(name)[NODE_FILE]),
    }
    assert set(written) <= k3s_keys.SERVER
    assert written["node-ip"] == written["advertise-address"] == f'"{TOPOLOGY.node(name).ip}"'


@pytest.mark.parametrize("name", ["w1", "w2", "w3"])
def test_agents_write_documented_agent_keys_only(name: str) -> None:
    written = keys(files(name)["/etc/rancher/k3s/config.yaml"])
    assert set(written) <= k3s_keys.AGENT
    assert written["server"] == '"https://172.30.0.50:6443"'
    assert written["token"] == f'"{SECRETS.text("agent-token")}"'
    assert SECRETS.text("token") not in files(name)["/etc/rancher/k3s/config.yaml"].content.decode()


def test_an_undocumented_key_is_a_bug() -> None:
    with pytest.raises(ValueError, match="tls-san"):
        config.render_agent({"tls-san": ["x"]})


def test_only_the_first_master_initialises_and_only_others_join() -> None:
    first, second = keys(files("m")[NODE_FILE]), keys(files("m2")[NODE_FILE])
    assert first["cluster-init"] == "true"
    assert "server" not in first
    assert "cluster-init" not in second
    assert second["server"] == '"https://172.30.0.49:6443"'


def test_what_must_be_equal_on_all_servers_is() -> None:
    common = {
        files(name)["/etc/rancher/k3s/config.yaml.d/10-common.yaml"].content
        for name in ("m", "m2", "m3")
    }
    assert len(common) == 1
    for name in ("m", "m2", "m3"):
        assert not set(keys(files(name)[NODE_FILE])) & k3s_keys.EQUAL_ON_ALL_SERVERS


def test_the_certificate_names_every_way_to_the_api() -> None:
    names = keys(files("m")["/etc/rancher/k3s/config.yaml.d/10-common.yaml"])["tls-san"]
    for key in (
        "172.30.0.50",
        "172.30.0.40",
        "172.30.0.47",
        "172.30.0.48",
        "172.30.0.49",
        "127.0.0.1",
        "localhost",
        '"m2"',
        '"lb"',
    ):
        assert key in names


def test_files_with_tokens_and_keys_are_private() -> None:
    for name in ("m", "m2", "w1"):
        for file in files(name).values():
            secret = (
                any(SECRETS.files[token] in file.content for token in ("token", "agent-token"))
                or b"PRIVATE KEY" in file.content
            )
            assert not secret or file.mode == 0o600, file.path


def test_authorities_are_on_the_first_master_alone() -> None:
    place = "/var/lib/rancher/k3s/server/tls/etcd/peer-ca.crt"
    assert place in files("m")
    assert place not in files("m2")
    assert place not in files("w1")


def test_the_first_master_founds_the_cluster_and_all_others_join_together() -> None:
    waves = [[node.name for node in wave] for wave in K3S.waves(TOPOLOGY)]
    assert waves == [["m"], ["m2", "m3", "w1", "w2", "w3"]]


def test_two_joining_masters_may_be_learners_at_once() -> None:
    for name in ("m", "m2", "m3"):
        common = keys(files(name)["/etc/rancher/k3s/config.yaml.d/10-common.yaml"])
        assert "max-learners=2" in json.loads(common["etcd-arg"])


def test_the_unit_is_the_installers() -> None:
    text = config.unit("agent").decode()
    for line in (
        "Type=notify",
        "KillMode=process",
        "Delegate=yes",
        "TimeoutStartSec=0",
        "RestartSec=5s",
        "ExecStart=/usr/local/bin/k3s agent",
    ):
        assert line in text.splitlines()
    assert "EnvironmentFile=-/etc/systemd/system/k3s-agent.service.env" in text


def test_helm_runs_where_the_api_server_is_healthy() -> None:
    """A booting master refuses requests without a certificate: that is no sign of health."""
    nodes = {
        "m": DoubleNode(name="m", code=22),
        "m2": DoubleNode(name="m2"),
        "m3": DoubleNode(name="m3"),
    }
    site = cast(
        "AddonContext", SimpleNamespace(topology=TOPOLOGY, distribution=K3S, node=nodes.get)
    )
    assert helm.on_a_master(site).master is cast("NodeHandle", nodes["m2"])
    assert ["--cert", K3S.health.certificate] == nodes["m"].argv[-5:-3]
    assert nodes["m3"].argv == []


@pytest.mark.parametrize("name", ["m", "w1"])
def test_nothing_is_pulled_and_what_was_loaded_stays(name: str) -> None:
    place = "config.yaml.d/20-node" if name == "m" else "config"
    written = keys(files(name)[f"/etc/rancher/k3s/{place}.yaml"])
    assert written["pause-image"] == f'"{nodefiles.PAUSE_IMAGE}"'
    evict_never = "eviction-hard=imagefs.available<0%,nodefs.available<0%"
    assert {"image-gc-high-threshold=100", evict_never} <= set(json.loads(written["kubelet-arg"]))


@pytest.mark.parametrize("name", ["m", "w1"])
def test_a_node_renews_its_lease_twice_in_the_shortest_grace(name: str) -> None:
    place = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/90-halab.conf"
    written = json.loads(files(name)[place].content)
    assert written["kind"] == "KubeletConfiguration"
    renewal_ms = written["nodeLeaseDurationSeconds"] * 1000 / 4  # kubelet: each quarter
    assert renewal_ms <= loader.GRACE_MS[0] / 2
    assert written["nodeStatusReportFrequency"] == written["nodeStatusUpdateFrequency"] == "4s"


def test_pods_may_not_open_a_thousand_million_files() -> None:
    units = {
        name: "".join(f.content.decode() for p, f in files(name).items() if f"{unit}.service" in p)
        for name, unit in (("m", "k3s"), ("w1", "k3s-agent"))
    }
    for text in (*units.values(), kubeunits.containerd().decode()):
        assert re.findall(r"LimitNOFILE=.*", text) == ["LimitNOFILE=1048576"]


def test_the_journal_of_a_control_plane_without_quorum_is_bounded() -> None:
    laid_down = find("upstream").files(TOPOLOGY, TOPOLOGY.node("m"), SECRETS)
    upstream = {file.path: file for file in laid_down}
    for unit in (
        files("m")["/etc/systemd/system/k3s.service.d/10-halab.conf"],
        files("w1")["/etc/systemd/system/k3s-agent.service.d/10-halab.conf"],
        upstream["/etc/systemd/system/kube-apiserver.service"],
    ):
        service = unit.content.decode().split("[Service]\n")[1]
        assert {*nodefiles.LOG_LIMIT, nodefiles.NO_LEADER} <= set(service.splitlines())


class DoubleNode:
    """A double of a node: keeps what is put, gives prepared answers."""

    def __init__(
        self, name: str = "m", role: str = "master", output: str = "", code: int = 0
    ) -> None:
        self.name, self.role, self.result, self.files, self.argv = (
            name,
            role,
            Result(code, output),
            [],
            [],
        )

    def has(self, path: str) -> bool:
        return path == K3S.datastore

    def put(self, files: list[File]) -> None:
        self.files.append(files)

    def run(self, argv: list[str], *, check: bool, timeout_s: float) -> Result:
        self.argv = argv
        return self.result


def test_settle_is_idempotent_and_points_at_the_vip() -> None:
    node = DoubleNode()
    K3S.settle(TOPOLOGY, lambda _: node)
    K3S.settle(TOPOLOGY, lambda _: node)
    assert node.files[0] == node.files[1]
    assert keys(node.files[0][0])["server"] == '"https://172.30.0.50:6443"'
    assert keys(node.files[0][0])["cluster-init"] == "true"


def test_release_addresses() -> None:
    asset = k3s_release.binary("v1.36.5+k3s1", "arm64")
    assert asset.url.endswith("/v1.36.5%2Bk3s1/k3s-arm64")
    assert asset.sha256_url.endswith("/sha256sum-arm64.txt")
    assert k3s_release.binary("v1.36.5+k3s1", "amd64").name == "k3s"
