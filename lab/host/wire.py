"""How faults can cut wires on this host, by its kernel's features (see lab/chaos/wire.py)."""

from __future__ import annotations

import contextlib
import gzip
import platform
import re
from pathlib import Path
from typing import Literal

EGRESS = (5, 16)
"""The first Linux in which nftables has a hook for what a device sends (netdev egress)."""
CLSACT = ("NET_SCH_INGRESS", "NET_CLS_BPF")
"""What tc needs for the same; clsact is part of the first (net/sched/sch_ingress.c)."""

Judged = tuple[Literal["ok", "warning"], str, str]
"""State, what was seen, and what to do."""


def config(root: Path = Path("/"), release: str = platform.release()) -> str:
    """Return the text of the kernel's configuration; empty if it cannot be read."""
    with contextlib.suppress(OSError, EOFError):
        return gzip.decompress((root / "proc/config.gz").read_bytes()).decode(errors="replace")
    with contextlib.suppress(OSError):
        return (root / f"boot/config-{release}").read_text(errors="replace")
    return ""


def judged(text: str, release: str) -> Judged:
    """Judge whether wires can be cut, by the kernel's configuration (`text`).

    If that is not known, by its release.
    """
    on = set(re.findall(r"^CONFIG_(\w+)=[ym]$", text, re.MULTILINE))
    numbers = re.match(r"(\d+)\.(\d+)", release)
    new = numbers is not None and (int(numbers[1]), int(numbers[2])) >= EGRESS
    if "NETFILTER_EGRESS" in on or (not text and new):
        return "ok", "wires are cut by nft", ""
    if not text:
        detail = (
            f"Linux {release} is older than 5.16: wires are cut by tc, if it has clsact and bpf"
        )
        return "ok", detail, "`halab fault list LAB` tries it"
    if on.issuperset(CLSACT):
        return "ok", "wires are cut by tc, as this kernel has no netdev egress hook for nft", ""
    options = ", ".join(f"CONFIG_{name}" for name in ("NETFILTER_EGRESS", *CLSACT))
    detail = "this kernel can cut no wires: partition, power-cut and bmc-unreachable cannot act"
    return "warning", detail, f"take one with {options} (Linux 5.16 or newer has the first)"
