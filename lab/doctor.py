"""Whether this machine can run a lab: facts are gathered, then judged by pure functions. Never raises for a sick machine."""

from __future__ import annotations

import os
import platform
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab import components, data, engine, host, images, k3s_release, privilege, versions
from lab.errors import LabError
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.engine import Engine
    from lab.topology.model import Topology

State = Literal["ok", "warning", "failed"]
MIB = 1024 * 1024
GIB = 1024 * MIB
MIN_API = (1, 41)
"""Docker 20.10: the first with private cgroup namespaces."""
INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
"""systemd, kubelet and containerd of one node use some twenty instances; they are counted for the whole host (kind's known issues)."""
OPEN_FILES = 20000
MASTER_BYTES, WORKER_BYTES, SPARE_BYTES = 600 * MIB, 150 * MIB, 512 * MIB
"""Measured on an idle lab: 530 to 570 MiB a master, 80 to 110 MiB a worker."""
BUILD_BYTES, NODE_BYTES = 6 * GIB, 512 * MIB
KERNEL = {
    "vxlan": "CONFIG_VXLAN",
    "bridge": "CONFIG_BRIDGE",
    "br_netfilter": "CONFIG_BRIDGE_NETFILTER",
    "veth": "CONFIG_VETH",
    "overlay": "CONFIG_OVERLAY_FS",
    "nf_tables": "CONFIG_NF_TABLES",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    name: str
    state: State
    seen: str
    remedy: str = ""
    fixable: bool = False


def examine(topology: Topology | None = None) -> tuple[Finding, ...]:
    """Look at everything; `topology` says what is needed (else the reference lab)."""
    wanted = topology or loader.load(data.shipped("topologies") / "3m3w.yaml").topology
    findings = [_limits(), *_inotify(Path("/proc/sys/fs/inotify")), *_kernel()]
    try:
        connected = engine.connect()
        findings = [*_engine(connected, wanted), *findings]
    except LabError as error:
        findings = [Finding("engine", "failed", error.message, error.hint, fixable=True), *findings]
    return (*findings, port(wanted.loadbalancer.host_port), *_sources())


def _engine(connected: Engine, topology: Topology) -> list[Finding]:
    info = connected.info()
    own = f"halab-{topology.name}"
    found = [
        version(info),
        cgroup(info),
        _privilege(connected),
        memory(int(info.get("MemTotal", 0)), _available(), topology),
        _disk(Path(str(info.get("DockerRootDir", "/"))), len(topology.machines)),
        _subnet(connected, topology, own),
        leftovers(connected.labelled("halab.helper=1")[0]),
    ]
    if "Docker Desktop" in str(info.get("OperatingSystem", "")):
        hint = "use the published port: kubeconfigs point there; the VIP answers inside the lab (`halab shell`)"
        found.append(Finding("addresses", "warning", "Docker Desktop: containers' addresses are not reachable from here", hint))
    return found


def version(info: dict[str, Any]) -> Finding:
    """Judge the engine's version."""
    api = str(info.get("ApiVersion", "0.0"))
    seen = f"Docker {info.get('ServerVersion')}, API {api}"
    if tuple(int(part) for part in api.split(".")) < MIN_API:
        return Finding("engine", "failed", f"{seen}: too old", "halab needs Docker 20.10 or newer")
    return Finding("engine", "ok", seen)


def cgroup(info: dict[str, Any]) -> Finding:
    """Tell the cgroup version; both work."""
    return Finding("cgroups", "ok", f"version {info.get('CgroupVersion', '?')}, driver {info.get('CgroupDriver', '?')}")


def _privilege(connected: Engine) -> Finding:
    here = sorted(connected.images())
    if not here:
        return Finding("privilege", "ok", "asked at the first start (no image of halab's is here yet)")
    full = privilege.privileged(connected, here[0])
    way = "--privileged starts" if full else "--privileged does not start here; nodes get all capabilities but CAP_SYS_RESOURCE instead"
    return Finding("privilege", "ok", way)


def memory(total: int, available: int, topology: Topology) -> Finding:
    """Judge the memory against what the topology needs, in bytes."""
    need = len(topology.masters) * MASTER_BYTES + len(topology.workers) * WORKER_BYTES + SPARE_BYTES
    free = min(total, available) if available else total
    seen = f"{free / GIB:.1f} GiB free, lab {topology.name} needs {need / GIB:.1f} GiB"
    if total < need:
        return Finding("memory", "failed", seen, "take a smaller topology (1m1w), or give Docker more memory")
    if free < need:
        return Finding("memory", "warning", seen, "end something, or take a smaller topology (1m1w)")
    return Finding("memory", "ok", seen)


def _available() -> int:
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0


def _disk(root: Path, nodes: int) -> Finding:
    place = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    return disk(shutil.disk_usage(place).free, nodes, str(place))


def disk(free: int, nodes: int, place: str) -> Finding:
    """Judge the free bytes where the engine keeps its data."""
    need = NODE_BYTES * nodes
    seen = f"{free / GIB:.0f} GiB free at {place}"
    if free < need:
        return Finding("disk", "failed", f"{seen}, {nodes} nodes need {need / GIB:.1f} GiB", "free some: `docker system df`, `halab images remove`")
    if free < need + BUILD_BYTES:
        told = f"{seen}; a first build takes {BUILD_BYTES / GIB:.0f} GiB more"
        return Finding("disk", "warning", told, "enough where the images are built already")
    return Finding("disk", "ok", seen)


def _subnet(connected: Engine, topology: Topology, own: str) -> Finding:
    try:
        host.check_subnet(topology, connected, own)
    except LabError as error:
        # The lab's own bridge is a route of the host's, too.
        if topology.name in connected.labs():
            return Finding("subnet", "ok", f"{topology.network.subnet} is lab {topology.name}'s")
        return Finding("subnet", "failed", error.message, error.hint)
    return Finding("subnet", "ok", f"{topology.network.subnet} is free")


def port(wanted: int) -> Finding:
    """Judge the API's port on the host."""
    try:
        found = host.free_port(wanted)
    except LabError as error:
        return Finding("port", "failed", error.message, error.hint)
    if wanted and found != wanted:
        return Finding("port", "warning", f"{wanted} is in use on 127.0.0.1; a lab would take {found}")
    return Finding("port", "ok", f"{wanted or 'any'} is free on 127.0.0.1")


def leftovers(helpers: list[str]) -> Finding:
    """Judge helper containers that a killed run left."""
    if helpers:
        return Finding("left-overs", "warning", f"{len(helpers)} helper containers of an interrupted run", "`halab doctor --fix`", fixable=True)
    return Finding("left-overs", "ok", "none")


def _limits() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        return Finding("open files", "warning", f"{soft}, at most {hard}", f"raise the hard limit to {OPEN_FILES} or more (limits.conf(5))")
    return Finding("open files", "ok", f"{soft}, at most {hard}")


def _inotify(folder: Path) -> list[Finding]:
    if not folder.is_dir():
        return []
    return [inotify(name, int((folder / name).read_text()), least) for name, least in INOTIFY.items()]


def inotify(name: str, value: int, least: int) -> Finding:
    """Judge one inotify limit; too few of them let kubelets fail with "too many open files"."""
    if value >= least:
        return Finding(f"fs.inotify.{name}", "ok", str(value))
    remedy = f"`halab doctor --fix` as root, or: sudo sysctl -w fs.inotify.{name}={least}"
    return Finding(f"fs.inotify.{name}", "warning", f"{value}, {least} are needed for six nodes", remedy, fixable=True)


def _kernel() -> list[Finding]:
    if platform.system() != "Linux":
        return []
    missing = [name for name, option in KERNEL.items() if not _has(name, option)]
    if missing:
        remedy = f"try `sudo modprobe {missing[0]}`; flannel needs vxlan and br_netfilter"
        return [Finding("kernel", "warning", f"not found: {', '.join(missing)}", remedy)]
    return [Finding("kernel", "ok", f"{platform.release()}: {', '.join(KERNEL)}")]


def _has(name: str, option: str) -> bool:
    """Tell whether the kernel has a feature: loaded, built in, or as a module that can be loaded."""
    if Path("/sys/module", name).exists():
        return True
    folder = Path("/lib/modules", platform.release())
    listed = [folder / "modules.builtin", folder / "modules.dep"]
    if any(f"/{name}.ko" in file.read_text() for file in listed if file.exists()):
        return True
    return any(f"{option}={word}" in _config() for word in ("y", "m"))


def _config() -> str:
    import gzip

    for path in (Path("/proc/config.gz"), Path(f"/boot/config-{platform.release()}")):
        if path.exists():
            return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return ""


def _sources() -> list[Finding]:
    """Ask which sources answer; a lab needs none of them once its images are built."""
    table = versions.read(data.shipped("images"))
    arch = images.architecture()
    coredns = table.components["coredns"]
    k3s = k3s_release.binary(table.components["k3s"].version, arch)
    asked = {"downloads": coredns.expand(coredns.url, arch), "K3s release": k3s.url}
    with ThreadPoolExecutor() as pool:
        reached = dict(zip(asked, pool.map(components.reachable, asked.values()), strict=True))
    return [source(name, answers=answers) for name, answers in reached.items()] + [_tools()]


def source(name: str, *, answers: bool) -> Finding:
    """Judge a source."""
    if answers:
        return Finding(name, "ok", "reached")
    otherwise = "give `images: {k3s_binary: PATH}` for K3s" if "K3s" in name else "binaries are built from their Go modules instead"
    return Finding(name, "warning", "not reached", otherwise)


def _tools() -> Finding:
    wanted: dict[str, Callable[[], bool]] = {
        "go": lambda: bool(shutil.which("go") or Path("/usr/local/go/bin/go").exists()),
        "gcc": lambda: bool(shutil.which("gcc")),
        "debootstrap": lambda: bool(shutil.which("debootstrap") or Path("/usr/sbin/debootstrap").exists()),
    }
    missing = [name for name, there in wanted.items() if not there()]
    if not missing:
        return Finding("build tools", "ok", "go, gcc and debootstrap are here")
    fixable = os.geteuid() == 0 and bool(shutil.which("apt-get")) and missing != ["go"]
    seen = f"not here: {', '.join(missing)}; needed where nothing can be downloaded"
    return Finding("build tools", "warning", seen, "`halab doctor --fix`", fixable=fixable)
