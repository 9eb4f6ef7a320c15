from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from lab.base import kernel

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("vxlan", {"sys/module/vxlan/refcnt": "1"}, "there"),
        ("overlay", {"proc/filesystems": "nodev\ttmpfs\nnodev\toverlay\n"}, "there"),
        ("br_netfilter", {"proc/sys/net/bridge/bridge-nf-call-iptables": "1"}, "there"),
        ("br_netfilter", {"sys/module/br_netfilter/refcnt": "0"}, "there"),
        ("br_netfilter", {"lib/modules/6.1/modules.dep": "net/br_netfilter.ko.xz:\n"}, "loadable"),
        ("veth", {"lib/modules/6.1/modules.builtin": "kernel/drivers/net/veth.ko\n"}, "there"),
        ("veth", {"proc/config.gz": "CONFIG_VETH=y\n"}, "there"),
        ("nf_tables", {"boot/config-6.1": "CONFIG_NF_TABLES=y\n"}, "there"),
        (
            "vxlan",
            {"lib/modules/6.1/modules.dep": "kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/x.ko\n"},
            "loadable",
        ),
        (
            "vxlan",
            {
                "lib/modules/6.1/modules.dep": "kernel/a.ko:\n",
                "boot/config-6.1": "CONFIG_VXLAN=m\n",
            },
            "lacking",
        ),
        (
            "bridge",
            {"boot/config-6.1": "# CONFIG_BRIDGE is not set\nCONFIG_BRIDGE_NETFILTER=y\n"},
            "lacking",
        ),
        ("vxlan", {"boot/config-6.1": "CONFIG_VXLAN=m\n"}, "unknown"),
        ("vxlan", {"boot/config-5.0": "CONFIG_VXLAN=y\n"}, "unknown"),
        ("vxlan", {}, "unknown"),
    ],
)
def test_kernel_features_are_found_without_loading(
    tmp_path: Path, name: str, files: dict[str, str], expected: str
) -> None:
    write(tmp_path, files)
    assert kernel.feature(name, tmp_path, "6.1") == expected
