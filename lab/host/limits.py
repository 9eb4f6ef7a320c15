"""What doctor looks at where the engine uses this machine's own kernel: limits and features."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

from lab.base.kernel import FEATURES, Feature, feature
from lab.engine import fitness
from lab.host import wire
from lab.host.findings import Finding

INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
"""A node uses some twenty; the whole host's are counted together (kind's known issues)."""
OPEN_FILES = 20000


def look() -> list[Finding]:
    """Look at all of it; what cannot be looked at is a finding, too."""
    try:
        found = [watches(name) for name in INOTIFY]
    except (OSError, ValueError) as error:
        found = [Finding("inotify", "warning", f"could not be looked at: {error!r}")]
    features = {name: feature(name) for name in FEATURES}
    limit = open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    wires = Finding("wires", *wire.judged(wire.config(), platform.release()))
    return [*found, wires, limit, kernel(features), bridge(features["br_netfilter"])]


def open_files(soft: int, hard: int) -> Finding:
    """Judge the limit of open files: the hard one, up to which any program raises its own."""
    seen = f"{soft}, at most {'any number' if hard == resource.RLIM_INFINITY else hard}"
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        return Finding(
            "open files", "warning", seen, f"raise the hard limit to {OPEN_FILES} (limits.conf(5))"
        )
    return Finding("open files", "ok", seen)


def watches(name: str) -> Finding:
    """Look at one inotify limit."""
    return inotify(name, int(Path("/proc/sys/fs/inotify", name).read_text()), INOTIFY[name])


def inotify(name: str, value: int, least: int) -> Finding:
    """Judge one inotify limit; too few of them let kubelets fail with "too many open files"."""
    if value >= least:
        return Finding(f"fs.inotify.{name}", "ok", str(value))
    remedy = f"`halab doctor --fix` as root, or: sudo sysctl -w fs.inotify.{name}={least}"
    return Finding(
        f"fs.inotify.{name}",
        "warning",
        f"{value}, {least} are needed for six nodes",
        remedy,
        fixable=True,
    )


def kernel(features: dict[str, Feature]) -> Finding:
    """Judge the kernel's features. Modules are loaded when first used, but for br_netfilter."""
    by = {
        state: " ".join(name for name, found in features.items() if found == state)
        for state in features.values()
    }
    if "lacking" in by:
        return Finding(
            "kernel",
            "failed",
            f"lacks {by['lacking']}",
            "take a kernel with it (Ubuntu: linux-modules-extra)",
        )
    if "unknown" in by:
        return Finding(
            "kernel",
            "warning",
            f"not found: {by['unknown']}",
            f"try `sudo modprobe -a {by['unknown']}`",
        )
    return Finding("kernel", "ok", ", ".join(features))


def bridge(feature: Feature) -> Finding:
    """Judge br_netfilter, which nobody asks for; `start` loads it, too, where it can."""
    if feature == "there":
        return Finding("br_netfilter", "ok", "rules see bridged packets")
    remedy = f"`halab doctor --fix` as root, or: {fitness.BRIDGE_REMEDY}"
    seen = "not loaded; without it Services lose the answers of pods on the asker's node"
    return Finding("br_netfilter", "warning", seen, remedy, fixable=feature == "loadable")
