"""What this machine's kernel has of what a lab needs, found without loading anything."""

from __future__ import annotations

import contextlib
import gzip
import platform
from pathlib import Path
from typing import Literal

Feature = Literal["there", "loadable", "lacking", "unknown"]
# Feature → the kernel's option. nf_tables, as the nodes' iptables is Debian's, which speaks that.
OPTIONS = {
    "vxlan": "VXLAN",
    "bridge": "BRIDGE",
    "br_netfilter": "BRIDGE_NETFILTER",
    "veth": "VETH",
    "overlay": "OVERLAY_FS",
    "nf_tables": "NF_TABLES",
}
FEATURES = list(OPTIONS)
BRIDGED = ("proc/sys/net/bridge", "sys/module/br_netfilter")
"""Either shows br_netfilter: the first is in each network namespace only since Linux 5.3."""


def bridged(root: Path = Path("/")) -> bool:
    """Whether this machine's kernel has br_netfilter: its rules see bridged packets."""
    return any((root / sign).exists() for sign in BRIDGED)


def feature(name: str, root: Path = Path("/"), release: str = platform.release()) -> Feature:
    """Whether the kernel has a feature, without loading anything."""
    folder, option = root / "lib/modules" / release, f"CONFIG_{OPTIONS[name]}"
    builtin, modules = (
        _text(folder / file).replace("-", "_") for file in ("modules.builtin", "modules.dep")
    )
    config = (_text(root / "proc/config.gz") or _text(root / f"boot/config-{release}")).splitlines()
    if name == "br_netfilter":
        known = bridged(root)
    else:
        listed = _text(root / "proc/filesystems").split()
        known = (root / f"sys/module/{name}").exists() or name in listed
    if known or f"/{name}.ko" in builtin or f"{option}=y" in config:
        return "there"
    if f"/{name}.ko" in modules:
        return "loadable"
    # "=m" without a list of modules: they are where it cannot be seen from here (in a container).
    return "lacking" if modules or (config and f"{option}=m" not in config) else "unknown"


def _text(path: Path) -> str:
    """Return a file's text, unpacked; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        packed = path.suffix == ".gz"
        content = path.read_bytes()
        return (gzip.decompress(content) if packed else content).decode(errors="replace")
    return ""
