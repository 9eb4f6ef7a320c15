"""A queueing discipline of a fault's at a machine's way out: tried, put, shown, removed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite

DEVICE = "eth0"
HANDLE = "1a1b:"
"""The root discipline of a fault bears it; the kernel's own never does."""


def missing(site: FaultSite, kind: str, words: str) -> str:
    """Try a discipline on a throw-away interface of the node's, removed at once: kernels lack some."""
    probe = (
        "try=halab-$$; ip link add $try type veth peer name peer-$$ || exit 1; "
        f"tc qdisc add dev $try root {words}; code=$?; ip link del $try; exit $code"
    )
    tried = site.node.run(["sh", "-c", probe], check=False)
    if tried.code == 0:
        return ""
    lacking = "qdisc" in tried.output or "Unknown" in tried.output
    return f"this kernel lacks {kind}" if lacking else tried.output.strip()


def shown(site: FaultSite) -> str:
    """Return what tc says of the machine's way out."""
    return site.node.run(["tc", "-s", "qdisc", "show", "dev", DEVICE, "root"], check=False).output


def taken(site: FaultSite) -> str:
    """Say so where a fault's discipline is there already: there is room for one."""
    return (
        f"{site.node.name} has such a fault already: heal that first"
        if HANDLE in shown(site)
        else ""
    )


def put(site: FaultSite, words: str) -> None:
    """Put a discipline in place of the one that was there."""
    site.node.run(["sh", "-c", f"tc qdisc replace dev {DEVICE} root handle {HANDLE} {words}"])


def evidence(site: FaultSite) -> str:
    """Packets went through it."""
    text = shown(site)
    sent = re.search(r"Sent (\d+) bytes", text)
    return (
        f"{text.splitlines()[0].strip()}: {sent[1]} bytes went through"
        if HANDLE in text and sent and sent[1] != "0"
        else ""
    )


def remove(site: FaultSite) -> None:
    """Let the kernel's own discipline come back."""
    if HANDLE in shown(site):
        site.node.run(["tc", "qdisc", "del", "dev", DEVICE, "root"])
