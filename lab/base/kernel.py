"""Which of the features that a lab needs this machine's kernel has; nothing is loaded."""

from __future__ import annotations

import contextlib
import gzip
import platform
from pathlib import Path
from typing import Literal

Feature = Literal["there", "loadable", "lacking", "unknown"]
OPTIONS = {
    "vxlan": "VXLAN",
    "bridge": "BRIDGE",
    "br_netfilter": "BRIDGE_NETFILTER",
    "veth": "VETH",
    "overlay": "OVERLAY_FS",
    "nf_tables": "NF_TABLES",
}
"""Feature → the kernel's option. nf_tables is what the nodes' iptables (Debian's) speaks."""
FEATURES = list(OPTIONS)
BRIDGED = ("proc/sys/net/bridge", "sys/module/br_netfilter")
"""Either of these shows br_netfilter: the first is in every network namespace only since Linux
5.3."""


def bridged(root: Path = Path("/")) -> bool:
    """Whether br_netfilter is loaded, so that the kernel's rules see bridged packets."""
    return any((root / sign).exists() for sign in BRIDGED)


def feature(name: str, root: Path = Path("/"), release: str = platform.release()) -> Feature:
    """Return whether the kernel has a feature, can load it, or lacks it.

    `name` is one of FEATURES. `unknown` if this machine does not say.
    """
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
    # "=m" without a list of modules: we are in a container, and the modules are on the host.
    return "lacking" if modules or (config and f"{option}=m" not in config) else "unknown"


def _text(path: Path) -> str:
    """Return a file's text, unpacked; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        packed = path.suffix == ".gz"
        content = path.read_bytes()
        return (gzip.decompress(content) if packed else content).decode(errors="replace")
    return ""
