"""The limits and features of this machine's kernel, for `halab doctor`.

They matter only if the engine runs on this kernel.
"""

from __future__ import annotations

import platform
import resource
from pathlib import Path

from lab.base.kernel import FEATURES, Feature, feature
from lab.engine import fitness
from lab.host import wire
from lab.host.findings import Finding

INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
"""What a lab needs. A node uses some twenty instances, and the whole host's are counted together
(kind's known issues)."""
OPEN_FILES = 20000


def look() -> list[Finding]:
    """Return the findings about this kernel. What cannot be read is a finding, too."""
    try:
        inotify_limits = [watches(name) for name in INOTIFY]
    except (OSError, ValueError) as error:
        inotify_limits = [Finding("inotify", "warning", f"could not be looked at: {error!r}")]
    features = {name: feature(name) for name in FEATURES}
    limit = open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    wires = Finding("wires", *wire.judged(wire.config(), platform.release()))
    return [*inotify_limits, wires, limit, kernel(features), bridge(features["br_netfilter"])]


def open_files(soft: int, hard: int) -> Finding:
    """Judge the limits of open files. The hard one counts: a program can raise its soft limit."""
    unlimited = hard == resource.RLIM_INFINITY
    detail = f"{soft}, at most {'any number' if unlimited else hard}"
    if not unlimited and hard < OPEN_FILES:
        remedy = f"raise the hard limit to {OPEN_FILES} (limits.conf(5))"
        return Finding("open files", "warning", detail, remedy)
    return Finding("open files", "ok", detail)


def watches(name: str) -> Finding:
    """Judge this machine's inotify limit of that name, one of INOTIFY."""
    return inotify(name, int(Path("/proc/sys/fs/inotify", name).read_text()), INOTIFY[name])


def inotify(name: str, value: int, least: int) -> Finding:
    """Judge an inotify limit. If it is too low, kubelets fail with "too many open files"."""
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
    """Judge the kernel's features. Its modules are loaded on first use, except br_netfilter."""
    by_state = {
        state: " ".join(name for name, each in features.items() if each == state)
        for state in features.values()
    }
    if lacking := by_state.get("lacking"):
        remedy = "take a kernel with it (Ubuntu: linux-modules-extra)"
        return Finding("kernel", "failed", f"lacks {lacking}", remedy)
    if unknown := by_state.get("unknown"):
        remedy = f"try `sudo modprobe -a {unknown}`"
        return Finding("kernel", "warning", f"not found: {unknown}", remedy)
    return Finding("kernel", "ok", ", ".join(features))


def bridge(feature: Feature) -> Finding:
    """Judge br_netfilter, which nothing loads on first use; `halab start` loads it if it can."""
    if feature == "there":
        return Finding("br_netfilter", "ok", "rules see bridged packets")
    remedy = f"`halab doctor --fix` as root, or: {fitness.BRIDGE_REMEDY}"
    detail = "not loaded; without it Services lose the answers of pods on the asker's node"
    return Finding("br_netfilter", "warning", detail, remedy, fixable=feature == "loadable")
