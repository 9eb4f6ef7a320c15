"""A fault's queueing discipline on the interface that a machine sends by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite

DEVICE = "eth0"
HANDLE = "1a1b:"
"""Marks the root discipline of a fault; the kernel's own never has it."""

TRY = Script(
    "try-qdisc",
    """
try=halab-$$
ip link add $try type veth peer name peer-$$ || exit 1
tc qdisc add dev $try root "$@"
code=$?
ip link del $try
exit $code
""",
)
"""$1…: a discipline as tc reads it."""


def missing(site: FaultSite, kind: str, discipline: str) -> str:
    """Return why a discipline cannot be used: kernels lack some.

    It is tried on a throw-away interface of the node, which is removed at once.
    """
    attempt = TRY.run(site.node, *discipline.split(), check=False)
    if attempt.code == 0:
        return ""
    unknown = "qdisc" in attempt.output or "Unknown" in attempt.output
    return f"this kernel lacks {kind}" if unknown else attempt.output.strip()


def shown(site: FaultSite) -> str:
    """Return what tc shows of the root discipline."""
    return site.node.run(["tc", "-s", "qdisc", "show", "dev", DEVICE, "root"], check=False).output


def taken(site: FaultSite) -> str:
    """Return an error if a fault's discipline is there already: there is room for one."""
    if HANDLE not in shown(site):
        return ""
    return f"{site.node.name} has such a fault already: heal that first"


def put(site: FaultSite, discipline: str) -> None:
    """Put a discipline in place of the one that was there."""
    replace = ["tc", "qdisc", "replace", "dev", DEVICE, "root", "handle", HANDLE]
    site.node.run([*replace, *discipline.split()])


def evidence(site: FaultSite) -> str:
    """Return how much went through the fault's discipline; empty if nothing did."""
    text = shown(site)
    sent = re.search(r"Sent (\d+) bytes", text)
    if HANDLE not in text or not sent or sent[1] == "0":
        return ""
    return f"{text.splitlines()[0].strip()}: {sent[1]} bytes went through"


def remove(site: FaultSite) -> None:
    """Let the kernel's own discipline come back."""
    if HANDLE in shown(site):
        site.node.run(["tc", "qdisc", "del", "dev", DEVICE, "root"])
