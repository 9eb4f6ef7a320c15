"""Registries on nodes: K3s's file, containerd's files, and nothing where the topology has none."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab.kube.pki import new_secrets
from lab.nodes import registries
from lab.nodes.distributions import find
from lab.topology.loader import load
from lab.topology.model import Registry

if TYPE_CHECKING:
    from lab.engine.files import File

PLAIN = load(Path(__file__).parents[3] / "topologies" / "1m1w.yaml").topology
SECRETS = new_secrets("test")
PASSWORD = 'a"b\\c$d'
OWN = (
    Registry(host="docker.io", mirrors=("https://mirror.example", "http://172.30.0.1:5000/v2/hub")),
    Registry(host="mirror.example", username="ci", password=PASSWORD, ca="PEM", insecure=True),
    Registry(host="*", mirrors=("https://mirror.example",)),
)
TOPOLOGY = replace(PLAIN, kubernetes=replace(PLAIN.kubernetes, registries=OWN))
IMAGES = "io.containerd.cri.v1.images"


def files(distribution: str, topology: Any = TOPOLOGY) -> dict[str, File]:
    node = topology.workers[0]
    return {file.path: file for file in find(distribution).files(topology, node, SECRETS)}


def toml(file: File) -> dict[str, Any]:
    return tomllib.loads(file.content.decode())


def test_k3s_has_its_file_for_root_only() -> None:
    found = files("k3s")
    file = found["/etc/rancher/k3s/registries.yaml"]
    assert file.mode == 0o600
    assert yaml.safe_load(file.content) == {
        "mirrors": {
            "docker.io": {"endpoint": list(OWN[0].mirrors)},
            "*": {"endpoint": ["https://mirror.example"]},
        },
        "configs": {
            "mirror.example": {
                "auth": {"username": "ci", "password": PASSWORD},
                "tls": {
                    "ca_file": "/etc/halab/registries/mirror.example.crt",
                    "insecure_skip_verify": True,
                },
            }
        },
    }
    assert found["/etc/halab/registries/mirror.example.crt"].content == b"PEM"


def test_containerd_has_hosts_and_credentials() -> None:
    found = files("upstream")
    config = found["/etc/containerd/config.toml"]
    assert config.mode == 0o600
    assert toml(config)["plugins"][IMAGES]["registry"] == {
        "config_path": "/etc/containerd/certs.d",
        "configs": {"mirror.example": {"auth": {"username": "ci", "password": PASSWORD}}},
    }
    trust = {"ca": "/etc/halab/registries/mirror.example.crt", "skip_verify": True}
    able = {"capabilities": ["pull", "resolve"]}
    assert toml(found["/etc/containerd/certs.d/docker.io/hosts.toml"]) == {
        "server": "https://registry-1.docker.io",
        "host": {
            "https://mirror.example": {**able, **trust},
            "http://172.30.0.1:5000/v2/hub": {**able, "override_path": True},
        },
    }
    assert toml(found["/etc/containerd/certs.d/mirror.example/hosts.toml"]) == {
        "server": "https://mirror.example",
        **trust,
    }
    assert toml(found["/etc/containerd/certs.d/_default/hosts.toml"]) == {
        "host": {"https://mirror.example": {**able, **trust}}
    }


def test_credentials_of_docker_hub_are_found_by_the_name_of_its_server() -> None:
    own = (Registry(host="docker.io", username="me", password="x"),)
    config = tomllib.loads(registries.containerd(own))
    assert set(config["plugins"][IMAGES]["registry"]["configs"]) == {
        "docker.io",
        "registry-1.docker.io",
    }
    assert set(yaml.safe_load(registries.k3s(own))["configs"]) == {
        "docker.io",
        "registry-1.docker.io",
    }
    assert not registries.hosts(own)


@pytest.mark.parametrize("distribution", ["k3s", "upstream"])
def test_without_registries_there_are_no_files(distribution: str) -> None:
    more = set(files(distribution)) - set(files(distribution, PLAIN))
    assert all("regist" in path or "certs.d" in path for path in more)
    config = files(distribution, PLAIN).get("/etc/containerd/config.toml")
    assert config is None or (config.mode == 0o644 and b"registry" not in config.content)
