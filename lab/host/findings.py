"""What `halab doctor` says about one thing: the fact, whether it will do, and a remedy.

Most functions are pure: they judge facts that doctor.py gathered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lab.engine import fitness
from lab.host.network import free_network

if TYPE_CHECKING:
    from collections.abc import Collection
    from ipaddress import IPv4Network

    from lab.base.errors import LabError
    from lab.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    name: str
    state: Literal["ok", "warning", "failed"]
    seen: str
    """The fact, for people."""
    remedy: str = ""
    """What the user can do; empty: nothing to do."""
    fixable: bool = False
    """Whether `doctor --fix` can do it; for most findings it needs root."""


MIN_API = (1, 41)
"""Docker 20.10: the first with private cgroup namespaces."""


def no_engine(error: LabError, *, startable: bool) -> Finding:
    """Judge an engine that does not answer; `startable`: halab could start one here.

    An engine that refuses this user runs already: there is nothing to start.
    """
    return Finding(
        "engine",
        "failed",
        error.message,
        error.hint,
        fixable=startable and "permission denied" not in error.message,
    )


def version(info: dict[str, Any]) -> Finding:
    """Judge the engine's version, from what the engine says of itself."""
    api = str(info.get("ApiVersion", "0.0"))
    detail = f"Docker {info.get('ServerVersion')}, API {api}"
    if tuple(int(part) for part in api.split(".")) < MIN_API:
        remedy = "halab needs Docker 20.10 or newer"
        return Finding("engine", "failed", f"{detail}: too old", remedy)
    return Finding("engine", "ok", detail)


def unfit(info: dict[str, Any]) -> list[Finding]:
    """Return why the engine cannot give nodes what they need; empty if it can.

    `halab start` refuses such an engine.
    """
    why, remedy = fitness.unfit(info)
    return [Finding("rights", "failed", why, remedy)] if why else []


def engine_setup(info: dict[str, Any]) -> list[Finding]:
    """Return the engine's version of cgroups (both work), and how Docker Desktop differs.

    There the engine runs in a virtual machine of its own.
    """
    cgroups = f"version {info.get('CgroupVersion', '?')}, driver {info.get('CgroupDriver', '?')}"
    findings = [Finding("cgroups", "ok", cgroups)]
    if "Docker Desktop" in str(info.get("OperatingSystem", "")):
        detail = "Docker Desktop: containers' addresses are not reachable from here"
        remedy = (
            "use the published port: kubeconfigs point there; the VIP answers inside the lab "
            "(`halab shell`)"
        )
        findings.append(Finding("addresses", "warning", detail, remedy))
    return findings


def privileges(*, full: bool | None) -> Finding:
    """Return how nodes get their privileges: `--privileged` (full) or not. Both work.

    None: it is not known yet.
    """
    if full is None:
        return Finding(
            "privilege",
            "warning",
            "not known: no image is here yet",
            "nothing to do: asked at the first start",
        )
    other = (
        "--privileged does not start here; nodes get all capabilities but CAP_SYS_RESOURCE instead"
    )
    return Finding("privilege", "ok", "--privileged starts" if full else other)


def likely(topology: Topology, built: tuple[str, ...], *, k3s: bool) -> str:
    """Return the distribution that a lab would get.

    `built` are those whose images are here; `k3s`: its release can be reached.
    """
    names = topology.kubernetes.distributions
    can = [name for name in names if name != "k3s" or k3s or topology.images.k3s_binary]
    return (*built, *can, *names)[0]


def subnet(key: str, own: IPv4Network, used: dict[IPv4Network, str]) -> Finding:
    """Judge whether one of the lab's networks is free.

    `key` is its key in the file; `used` are the networks of others, network → what it is.
    """
    met = next(
        (f"{network} ({what})" for network, what in used.items() if network.overlaps(own)), ""
    )
    if not met:
        return Finding(key, "ok", f"{own} meets no other network")
    free = free_network(used, own.prefixlen)
    remedy = f"free is {free}: --set network.{key}={free}" if free else "stop what uses it"
    return Finding(key, "failed", f"{own} meets {met}", remedy)


def port(named: int, free: int) -> Finding:
    """Judge the API's port on the host, as the file names it (0: any).

    `free` is the one that a lab would take: its own, if it has it already.
    """
    if named and free != named:
        remedy = f"a lab takes {free}, or set loadbalancer.host_port"
        return Finding("port", "warning", f"{named} is in use here", remedy)
    return Finding("port", "ok", f"{named or 'any'} can be used")


def leftovers(helpers: Collection[str]) -> Finding:
    """Judge the helper containers that a killed halab left behind."""
    if not helpers:
        return Finding("left-overs", "ok", "none")
    return Finding(
        "left-overs",
        "warning",
        f"{len(helpers)} helper containers",
        "`halab doctor --fix` removes them",
        fixable=True,
    )


def source(name: str, *, answers: bool) -> Finding:
    """Judge whether a source can be reached. None of them is a must."""
    if answers:
        return Finding(name, "ok", "reached")
    remedy = "nothing to do: built from Go modules and Debian's packages instead"
    if "K3s" in name:
        remedy = "give `images: {k3s_binary: PATH}` for K3s; else upstream Kubernetes is used"
    return Finding(name, "warning", "not reached", remedy)


def tools(missing: Collection[str], *, apt: bool, needed: bool = True) -> Finding:
    """Judge the build tools; `missing` are those that are not installed.

    They are `needed` if images are missing and nothing can be downloaded. With `apt` they can be
    installed. A missing Go does not matter: a Python package brings it (components).
    """
    if not (names := " ".join(name for name in missing if name != "go")):
        later = ", which is installed when needed" if missing else ""
        return Finding("build tools", "ok", f"debootstrap and go{later}")
    if not needed:
        return Finding("build tools", "ok", f"not here: {names}; not needed")
    remedy = (
        f"`halab doctor --fix` as root, or: sudo apt-get install {names}"
        if apt
        else "install them if your system has them"
    )
    return Finding(
        "build tools",
        "warning",
        f"not here: {names}; needed where nothing can be downloaded",
        remedy,
        fixable=apt,
    )
