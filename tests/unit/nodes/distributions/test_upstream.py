from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rendered import files

from lab.addons.catalog import dns_ha
from lab.base import paths
from lab.images import versions
from lab.nodes import files as nodefiles

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_etcd_knows_all_members_and_masters_use_their_own_api(topology: Topology) -> None:
    text = files(topology, "m3")["/etc/systemd/system/etcd.service"].content.decode()
    assert (
        "m=https://172.30.0.49:2380,m2=https://172.30.0.48:2380,m3=https://172.30.0.47:2380" in text
    )
    assert (
        b"https://172.30.0.47:6443"
        in files(topology, "m3")["/etc/systemd/system/flannel.service"].content
    )
    assert (
        b"https://172.30.0.50:6443"
        in files(topology, "w1")["/etc/systemd/system/flannel.service"].content
    )


def test_versions_agree_with_what_is_written() -> None:
    table = versions.read(paths.shipped("images"))
    assert f"docker.io/{table.pods['pause']}" == nodefiles.PAUSE_IMAGE
    assert table.pods["coredns"] == dns_ha.IMAGE
    assert table.pods["coredns"].endswith(table.components["coredns"].version.lstrip("v"))
    pinned = Path(paths.shipped("images"), "kubernetes", "go.mod").read_text()
    assert f"k8s.io/kubernetes {table.components['kubernetes'].version}\n" in pinned
