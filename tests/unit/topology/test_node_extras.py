"""`ports:` and `mounts:` of a node: what is taken, what is refused, what the container has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import TopologyError
from lab.engine.spec import Bind, ContainerSpec
from lab.lifecycle import desired_state
from lab.nodes import distributions
from lab.topology.loader import load, parse
from lab.topology.model import Mount, Topology, from_json, to_json

if TYPE_CHECKING:
    from lab.topology.model import Node

REFERENCE = Path(__file__).parents[3] / "topologies" / "1m1w.yaml"
TEXT = """version: 1
name: demo
network: {subnet: 172.30.0.0/24, vip: 172.30.0.50}
nodes:
  m: {role: master, ip: 172.30.0.49, MASTER}
  w1: {role: worker, ip: 172.30.0.41, WORKER}
loadbalancer: {ip: 172.30.0.40}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "etc").symlink_to("/etc")
    (tmp_path / "link").symlink_to("data")
    return tmp_path


def topology(folder: Path, worker: str, master: str = "") -> Topology:
    text = TEXT.replace(", MASTER", f", {master}" if master else "").replace("WORKER", worker)
    return parse(text, str(folder / "f.yaml")).topology


def node(folder: Path, worker: str) -> Node:
    return topology(folder, worker).node("w1")


def refused(folder: Path, worker: str, master: str = "") -> tuple[int, str, str]:
    with pytest.raises(TopologyError) as caught:
        topology(folder, worker, master)
    (problem,) = caught.value.problems
    return problem.line, problem.message, problem.hint


def test_ports_and_mounts_are_read(folder: Path) -> None:
    found = node(folder, "ports: [8080:30080, 0:80], mounts: [./data:/mnt/a, link:/mnt/b:rw]")
    assert found.ports == ((8080, 30080), (0, 80))
    assert found.mounts == (
        Mount(folder=f"{folder}/data", path="/mnt/a"),
        Mount(folder=f"{folder}/data", path="/mnt/b", writable=True),
    )


def test_they_come_back_from_the_label_and_are_not_in_it_without_need(folder: Path) -> None:
    found = topology(folder, "ports: [8080:80], mounts: [data:/mnt/a:rw]")
    assert from_json(to_json(found)) == found
    plain = json.loads(to_json(load(REFERENCE).topology))
    assert set(plain["nodes"][0]) == {"name", "role", "ip"}


@pytest.mark.parametrize(
    ("ports", "message", "hint"),
    [
        ("[8080]", "`nodes.w1.ports` has `8080`", "HOST:NODE"),
        ("['0.0.0.0:8080:80']", "`nodes.w1.ports` has `0.0.0.0:8080:80`", "127.0.0.1 only"),
        ("['8080:80/udp']", "`nodes.w1.ports` has `8080:80/udp`", "TCP"),
        ("['80:80']", "has the host's port 80", "1024 to 65535"),
        ("['8080:0']", "has the node's port 0", "1 to 65535"),
        ("['8080:65536']", "has the node's port 65536", ""),
        ("['99999999999:1']", "has the host's port", ""),
        ("['²:1']", "`nodes.w1.ports` has `²:1`", ""),
        ("['8080:80', '8081:80']", "one of the node's ports twice", "keep one"),
        ("['6443:80']", "has the host's port 6443, as `loadbalancer.host_port`", "0 for any"),
        ("['8080:1', '8080:2']", "has the host's port 8080, as `nodes.w1.ports`", ""),
        ("8080:80", "must be a list", ""),
    ],
)
def test_a_port_that_cannot_be_is_refused(
    folder: Path, ports: str, message: str, hint: str
) -> None:
    line, said, remedy = refused(folder, f"ports: {ports}")
    assert line == 6
    assert message in said
    assert hint in remedy


def test_two_nodes_cannot_have_the_same_port(folder: Path) -> None:
    line, said, _ = refused(folder, "ports: [8080:1]", "ports: [8080:1]")
    assert (line, said) == (
        6,
        "`nodes.w1.ports` has the host's port 8080, as `nodes.m.ports`",
    )
    topology(folder, "ports: [0:1]", "ports: [0:1]")


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("data", "which is not a mount"),
        ("data:/mnt:wr", "which is not a mount"),
        (":/mnt", "which is not a mount"),
        ("none:/mnt", "names no folder: none"),
        ("file:/mnt", "names no folder: file"),
        ("/:/mnt", "names /, a folder of the host's own system"),
        ("/var/run:/mnt", "a folder of the host's own system"),
        ("/proc/sys:/mnt", "a folder of the host's own system"),
        ("etc:/mnt", "names /etc, a folder of the host's own system"),
        ("data:mnt", "has `mnt`, no path of a node"),
        ("data:/mnt/../etc", "no path of a node"),
        ("data:/", "names the node's /, which it works from"),
        ("data:/etc/kubernetes", "names the node's /etc/kubernetes"),
        ("data:/var/lib/kubelet/x", "names the node's /var/lib/kubelet/x"),
        ("data:/tmp/x", "names the node's /tmp/x"),
    ],
)
def test_a_mount_that_cannot_be_is_refused(folder: Path, mount: str, message: str) -> None:
    line, said, _ = refused(folder, f"mounts: ['{mount}']")
    assert line == 6
    assert message in said


def test_one_path_cannot_be_two_mounts(folder: Path) -> None:
    _, said, _ = refused(folder, "mounts: [data:/mnt/a, '/tmp:/mnt/a']")
    assert "one of the node's paths twice" in said


@pytest.mark.parametrize("place", ["run/docker.sock", ".docker/run/docker.sock"])
def test_a_folder_with_the_engines_socket_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    socket = folder / place
    socket.parent.mkdir(parents=True)
    socket.touch()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/run/docker.sock")
    for mount in (folder, socket.parent):
        _, said, hint = refused(folder, f"mounts: ['{mount}:/mnt']")
        assert "a folder of the host's own system" in said
        assert "root on the host" in hint
    assert node(folder, "mounts: [data:/mnt]").mounts


class Tags(dict[str, str]):
    def __missing__(self, word: str) -> str:
        return f"halab/{word}:1"


def specs(found: Topology) -> dict[str, ContainerSpec]:
    wanted = desired_state.desired(found, distributions.find("k3s"), Tags(), 6443)
    return {spec.hostname: spec for spec in wanted.containers}


def test_the_container_has_them_and_no_other_has(folder: Path) -> None:
    found = specs(topology(folder, "ports: [8080:30080], mounts: [data:/mnt/a]"))
    assert found["w1"].ports == {30080: 8080}
    assert found["w1"].mounts == (Bind(folder=f"{folder}/data", path="/mnt/a"),)
    assert not found["m"].ports
    assert found["lb"].ports == {6443: 6443}
    assert not any(found[name].mounts for name in ("m", "lb", "bmc"))


def test_a_lab_without_them_has_the_fingerprint_that_it_had(folder: Path) -> None:
    """Of the fields that there were before; with mounts it is another."""
    spec = ContainerSpec(name="n", hostname="n", image="i:1", network="net", ip="172.30.0.41")
    assert spec.fingerprint() == "9d12b9cf580f"
    with_mount = replace(spec, mounts=(Bind(folder=str(folder), path="/mnt"),))
    assert with_mount.fingerprint() != spec.fingerprint()
