"""`cpus` and `memory`: what is taken and refused, and what the engine and kubelet are told."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.base.errors import TopologyError
from lab.cli import output
from lab.engine.privileges import limits
from lab.kube import pki
from lab.lifecycle.desired_state import configuration, desired
from lab.nodes import distributions
from lab.nodes import limits as node_limits
from lab.topology.loader import load
from lab.topology.model import MachineSize, from_json, to_json

if TYPE_CHECKING:
    from lab.engine.spec import ContainerSpec
    from lab.topology.model import Topology

SHIPPED = Path(__file__).parents[3] / "topologies"
MIB = 1024**2
TAGS = {name: f"halab/{name}:1" for name in ("upstream", "k3s", "loadbalancer", "bmc")}
SECRETS = pki.new_secrets("1m1w")


def small(*overrides: str) -> Topology:
    return load(SHIPPED / "1m1w.yaml", overrides).topology


def specs(topology: Topology) -> dict[str, ContainerSpec]:
    wanted = desired(topology, distributions.find("upstream"), TAGS, 0)
    return {spec.hostname: spec for spec in wanted.containers}


def test_a_node_has_what_it_says_itself_or_else_what_its_role_says() -> None:
    found = small(
        "roles.worker.memory=1.5GiB",
        "roles.worker.cpus=0.5",
        "nodes.w1.memory=512Mi",
        "roles.master.cpus=2",
    )
    assert found.node("w1").size == MachineSize(millicpus=500, memory=512 * MIB)
    assert found.node("m").size == MachineSize(millicpus=2000)
    assert found.node("lb").size == found.node("bmc").size == MachineSize()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nodes.m.memory=1G", "`nodes.m.memory` is `1G`, not an amount of memory"),
        ("nodes.m.memory=512", "`nodes.m.memory` is `512`, not an amount of memory"),
        ("nodes.m.memory=64MiB", "`nodes.m.memory` is 64MiB.*128 MiB to 4096 GiB"),
        ("nodes.m.cpus=0", "`nodes.m.cpus` is 0.*0.1 to 512"),
        ("nodes.m.cpus=500m", "`nodes.m.cpus` is `500m`, not a number of processors"),
        ("nodes.m.cpus=1e3", "not a number of processors"),
        ("roles.worker.cpus=600", "`roles.worker.cpus` is 600"),
        ("roles.loadbalancer.cpus=1", "unknown key `loadbalancer` in `roles`"),
        ("roles.worker={}", "`roles.worker` has neither cpus nor memory"),
    ],
)
def test_what_is_no_limit_is_refused(setting: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        small(setting)


def test_little_memory_is_warned_of() -> None:
    loaded = load(SHIPPED / "1m1w.yaml", ("roles.master.memory=512MiB", "nodes.w1.memory=300MiB"))
    (warning,) = loaded.warnings
    assert "node `m` has 512 MiB of memory, little for a master" in warning.message


def test_the_engine_gets_hard_limits() -> None:
    found = specs(small("nodes.w1.memory=1GiB", "nodes.w1.cpus=1.25"))
    assert limits(found["w1"]) == {
        "cpu_period": 100_000,
        "cpu_quota": 125_000,
        "mem_limit": 1024 * MIB,
        "memswap_limit": 1024 * MIB,
    }
    assert limits(found["m"]) == {}


def test_limits_make_another_lab_and_none_the_same_as_before() -> None:
    plain, limited = small(), small("nodes.w1.memory=1GiB")
    assert '"size"' not in to_json(plain)
    assert from_json(to_json(limited)) == replace(
        limited, network=replace(limited.network, management_open=False)
    )
    assert configuration(plain) != configuration(limited)
    assert specs(plain)["w1"].fingerprint() != specs(limited)["w1"].fingerprint()


@pytest.mark.parametrize(("name", "unit"), [("upstream", "kubelet"), ("k3s", "k3s-agent")])
def test_kubelet_is_told_before_it_starts(name: str, unit: str) -> None:
    topology = small("nodes.w1.memory=1GiB", "nodes.w1.cpus=0.5")
    distribution = distributions.find(name)
    files = {file.path: file for file in distribution.files(topology, topology.node("w1"), SECRETS)}
    drop_in = files[f"/etc/systemd/system/{unit}.service.d/20-limits.conf"].content.decode()
    assert drop_in.endswith("/kubelet.conf.d/95-limits.conf 500 1048576\n")
    assert files[node_limits.SCRIPT].mode == 0o755
    if name == "upstream":
        kubelet = files["/etc/systemd/system/kubelet.service"].content.decode()
        assert "--config-dir=/etc/kubernetes/kubelet.conf.d" in kubelet
    others = distribution.files(topology, topology.node("m"), SECRETS)
    assert not [file.path for file in others if "limits" in file.path]


def reserved(folder: Path, millicpus: int, memory_kib: int) -> dict[str, str]:
    """Run the node's script on a host of two processors and 8 GiB."""
    programs, target = folder / "bin", folder / "made" / "95.conf"
    programs.mkdir(exist_ok=True)
    for name, says in {"sed": "8388608", "grep": "2"}.items():
        (programs / name).write_text(f"#!/bin/sh\necho {says}\n")
        (programs / name).chmod(0o755)
    (file, _) = node_limits.files(
        replace(small().node("w1"), size=MachineSize(millicpus=1)), "kubelet", "/x"
    )
    argv = ["sh", "-c", file.content.decode(), "sh", str(target), str(millicpus), str(memory_kib)]
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    subprocess.run(argv, env=env, check=True, timeout=60)
    found: dict[str, str] = json.loads(target.read_text())["systemReserved"]
    return found


def test_what_the_node_has_not_is_reserved(tmp_path: Path) -> None:
    assert reserved(tmp_path, 500, 1048576) == {"cpu": "1500m", "memory": "7340032Ki"}
    assert reserved(tmp_path, 0, 1048576) == {"memory": "7340032Ki"}
    # A limit above all that there is: the host's figures are the truth.
    assert reserved(tmp_path, 4000, 99_999_999) == {}


def test_sizes_are_told_as_people_write_them() -> None:
    assert output._limits(MachineSize()) == ""
    assert output._limits(MachineSize(millicpus=1500, memory=1536 * MIB)) == "1.5 cpus, 1.5 GiB"
    assert output._limits(MachineSize(memory=768 * MIB)) == "768 MiB"
