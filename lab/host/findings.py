"""What `halab doctor` says about one thing."""

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
    """One line of the examination. `fixable`: `doctor --fix` can do it, most of it as root."""

    name: str
    state: Literal["ok", "warning", "failed"]
    seen: str
    remedy: str = ""
    fixable: bool = False


MIB, GIB = 1024**2, 1024**3
MASTER_BYTES, WORKER_BYTES, SPARE_BYTES = (
    600 * MIB,
    150 * MIB,
    512 * MIB,
)  # an idle lab: up to 570 a master, 110 a worker
MIN_API = (1, 41)  # Docker 20.10: the first with private cgroup namespaces
BUILD_BYTES = 6 * GIB
# What a node writes, volumes and all. K3s's holds its unpacked programs (250 MB) and the archive of
# its images (200 MB), which an empty volume copies from the image, and what it imports (1.3 GB:
# archive of v1.36 unpacked, with its compressed blobs).
NODE_BYTES = {"upstream": 512 * MIB, "k3s": 1843 * MIB}
BESIDE_BYTES = 64 * MIB  # a balancer's or a controller's journal and files


def no_engine(error: LabError, *, startable: bool) -> Finding:
    """Judge an engine that gives no answer.

    One that refuses this user runs already: there is nothing to start.
    """
    return Finding(
        "engine",
        "failed",
        error.message,
        error.hint,
        fixable=startable and "permission denied" not in error.message,
    )


def version(info: dict[str, Any]) -> Finding:
    """Judge the engine's version."""
    api = str(info.get("ApiVersion", "0.0"))
    seen = f"Docker {info.get('ServerVersion')}, API {api}"
    if tuple(int(part) for part in api.split(".")) < MIN_API:
        return Finding("engine", "failed", f"{seen}: too old", "halab needs Docker 20.10 or newer")
    return Finding("engine", "ok", seen)


def unfit(info: dict[str, Any]) -> list[Finding]:
    """Judge whether the engine can give nodes what they need; `start` refuses one that cannot."""
    why, remedy = fitness.unfit(info)
    return [Finding("rights", "failed", why, remedy)] if why else []


def way(info: dict[str, Any]) -> list[Finding]:
    """Tell the cgroup version (both work), and what is different where the engine runs in a machine of its own."""
    found = [
        Finding(
            "cgroups",
            "ok",
            f"version {info.get('CgroupVersion', '?')}, driver {info.get('CgroupDriver', '?')}",
        )
    ]
    if "Docker Desktop" in str(info.get("OperatingSystem", "")):
        hint = "use the published port: kubeconfigs point there; the VIP answers inside the lab (`halab shell`)"
        found.append(
            Finding(
                "addresses",
                "warning",
                "Docker Desktop: containers' addresses are not reachable from here",
                hint,
            )
        )
    return found


def privileges(*, full: bool | None) -> Finding:
    """Tell which way nodes get their privileges (both work); None: not known."""
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


def memory(total: int, available: int, topology: Topology) -> Finding:
    """Judge the memory against what the topology needs, in bytes. `available` 0: not known."""
    need = len(topology.masters) * MASTER_BYTES + len(topology.workers) * WORKER_BYTES + SPARE_BYTES
    free = min(total, available) if available else total
    seen = f"{free / GIB:.1f} GiB free, lab {topology.name} needs {need / GIB:.1f} GiB"
    if total < need:
        return Finding(
            "memory", "failed", seen, "take a smaller topology (1m1w), or give Docker more memory"
        )
    if free < need:
        return Finding(
            "memory", "warning", seen, "end something, or take a smaller topology (1m1w)"
        )
    return Finding("memory", "ok", seen)


def likely(topology: Topology, built: tuple[str, ...], *, k3s: bool) -> str:
    """Return the distribution that a lab would get; `k3s` says whether its release can be reached."""
    names = topology.kubernetes.distributions
    can = [name for name in names if name != "k3s" or k3s or topology.images.k3s_binary]
    return (*built, *can, *names)[0]


def disk(
    free: int, topology: Topology, distribution: str, place: str, *, built: bool = False
) -> Finding:
    """Judge the free bytes where the engine keeps its data; what is built needs no room for it."""
    nodes, room = len(topology.nodes), 0 if built else BUILD_BYTES
    need = nodes * NODE_BYTES[distribution] + (len(topology.containers) - nodes) * BESIDE_BYTES
    here = f"{free / GIB:.1f} GiB free at {place}"
    seen = f"{here}, {nodes} nodes with {distribution} need {need / GIB:.1f} GiB"
    if free < need:
        return Finding(
            "disk", "failed", seen, "free some: `docker system df`, `halab images remove`"
        )
    if free < need + room:
        return Finding(
            "disk",
            "warning",
            f"{seen}, a first build {room / GIB:.0f} GiB more",
            "free some: `docker system df`",
        )
    return Finding("disk", "ok", seen)


def subnet(key: str, wanted: IPv4Network, used: dict[IPv4Network, str]) -> Finding:
    """Judge one of the lab's networks (its key in the file) against those that others use."""
    met = next(
        (f"{network} ({what})" for network, what in used.items() if network.overlaps(wanted)), ""
    )
    if not met:
        return Finding(key, "ok", f"{wanted} meets no other network")
    free = free_network(used, wanted.prefixlen)
    remedy = f"free is {free}: --set network.{key}={free}" if free else "end what uses it"
    return Finding(key, "failed", f"{wanted} meets {met}", remedy)


def port(wanted: int, free: int) -> Finding:
    """Judge the API's port on the host: `free` is the one that a lab would take (its own, if it holds it already)."""
    if wanted and free != wanted:
        return Finding(
            "port",
            "warning",
            f"{wanted} is in use here",
            f"a lab takes {free}, or set loadbalancer.host_port",
        )
    return Finding("port", "ok", f"{wanted or 'any'} can be used")


def leftovers(found: Collection[str]) -> Finding:
    """Judge helper containers that a killed run left."""
    if not found:
        return Finding("left-overs", "ok", "none")
    return Finding(
        "left-overs",
        "warning",
        f"{len(found)} helper containers",
        "`halab doctor --fix` removes them",
        fixable=True,
    )


def source(name: str, *, answers: bool) -> Finding:
    """Judge a source; there is another way for each."""
    k3s = "give `images: {k3s_binary: PATH}` for K3s; else upstream Kubernetes is used"
    otherwise = (
        k3s
        if "K3s" in name
        else "nothing to do: built from Go modules and Debian's packages instead"
    )
    return (
        Finding(name, "ok", "reached")
        if answers
        else Finding(name, "warning", "not reached", otherwise)
    )


def tools(missing: Collection[str], *, apt: bool, needed: bool = True) -> Finding:
    """Judge the build tools: `needed` where images are missing and nothing can be downloaded.

    Go is no matter: where it is missing, a Python package brings it (components).
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
