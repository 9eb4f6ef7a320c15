"""Whether this machine can run a lab: facts are gathered, then judged by pure functions. Never raises for a sick machine."""

from __future__ import annotations

import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lab import components, data, desired, engine, host, images, k3s_release, privilege, versions
from lab.errors import LabError
from lab.kernel import FEATURES, Feature, feature
from lab.spec import Observed
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from ipaddress import IPv4Network

    from lab.engine import Engine
    from lab.topology.model import Topology

MIB, GIB = 1024**2, 1024**3
MIN_API = (1, 41)  # Docker 20.10: the first with private cgroup namespaces
INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
"""systemd, kubelet and containerd of a node use some twenty; they are counted for the whole host (kind's known issues)."""
OPEN_FILES = 20000
MASTER_BYTES, WORKER_BYTES, SPARE_BYTES = 600 * MIB, 150 * MIB, 512 * MIB  # an idle lab: up to 570 a master, 110 a worker
BUILD_BYTES, NODE_BYTES = 6 * GIB, 512 * MIB
NODE_IMAGES = ("halab/upstream:", "halab/k3s:")
TOOLS = {"gcc": "", "debootstrap": "/usr/sbin/debootstrap", "go": "/usr/local/go/bin/go"}  # where PATH may not lead
HELPER_AGE = timedelta(minutes=10)  # a younger one may belong to a halab that works right now: none lives longer than 300 s


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. `fixable`: `halab doctor --fix` can do it, most of it as root only."""

    name: str
    state: Literal["ok", "warning", "failed"]
    seen: str
    remedy: str = ""
    fixable: bool = False


def examine(topology: Topology | None = None) -> tuple[Finding, ...]:
    """Look at everything; `topology` says what is needed (else the reference lab)."""
    wanted = topology or loader.load(data.shipped("topologies") / "3m3w.yaml").topology
    with ThreadPoolExecutor(1) as pool:
        sources = pool.submit(_guarded, "sources", _sources)  # beside all else: what is not reached takes its whole time-out
        try:
            connected = engine.connect()
            info = connected.info()
            found = [*_engine(connected, info, wanted), *(_host() if connected.local else [])]
        except LabError as error:
            ours = engine.startable()
            startable = ours and (there("dockerd", "/usr/sbin/dockerd") or there("apt-get"))
            found = [no_engine(error, startable=startable), *_port(wanted, Observed(lab=""))]
            found += _host() if ours else []
        return (*found, *sources.result(), build_tools())


def _guarded(name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Look at one thing; what cannot be looked at is a finding, too."""
    try:
        return look()
    except (LabError, OSError, ValueError, KeyError) as error:
        seen, remedy = (error.message, error.hint) if isinstance(error, LabError) else (repr(error), "")
        return [Finding(name, "warning", f"could not be looked at: {seen}", remedy)]


def there(program: str, place: str = "") -> bool:
    """Tell whether a program is here, in PATH or in its usual place."""
    return bool(shutil.which(program) or shutil.which(place))


def no_engine(error: LabError, *, startable: bool) -> Finding:
    """Judge an engine that gives no answer. One that refuses this user runs already: there is nothing to start."""
    return Finding("engine", "failed", error.message, error.hint, fixable=startable and "permission denied" not in error.message)


def _engine(connected: Engine, info: dict[str, Any], topology: Topology) -> list[Finding]:
    near, ours = connected.local, connected.images()
    looks: dict[str, Callable[[], list[Finding]]] = {
        "engine": lambda: [version(info), *unfit(info), *way(info)],
        "privilege": lambda: [privileges(full=privilege.privileged(connected, min(ours)) if ours else None)],
        "memory": lambda: [memory(int(info.get("MemTotal", 0)), _available() if near else 0, topology)],
        "disk": lambda: _disk(info, topology, built=any(tag.startswith(NODE_IMAGES) for tag in ours)) if near else [],
        "subnet": lambda: _subnet(connected, topology),
        "port": lambda: _port(topology, connected.observe(topology.name)),
        "left-overs": lambda: [leftovers(helpers(connected))],
    }
    return [finding for name, look in looks.items() for finding in _guarded(name, look)]


def version(info: dict[str, Any]) -> Finding:
    """Judge the engine's version."""
    api = str(info.get("ApiVersion", "0.0"))
    seen = f"Docker {info.get('ServerVersion')}, API {api}"
    if tuple(int(part) for part in api.split(".")) < MIN_API:
        return Finding("engine", "failed", f"{seen}: too old", "halab needs Docker 20.10 or newer")
    return Finding("engine", "ok", seen)


def unfit(info: dict[str, Any]) -> list[Finding]:
    """Judge whether the engine can give nodes what they need; `start` refuses one that cannot."""
    why, remedy = privilege.unfit(info)
    return [Finding("rights", "failed", why, remedy)] if why else []


def way(info: dict[str, Any]) -> list[Finding]:
    """Tell the cgroup version (both work), and what is different where the engine runs in a machine of its own."""
    found = [Finding("cgroups", "ok", f"version {info.get('CgroupVersion', '?')}, driver {info.get('CgroupDriver', '?')}")]
    if "Docker Desktop" in str(info.get("OperatingSystem", "")):
        hint = "use the published port: kubeconfigs point there; the VIP answers inside the lab (`halab shell`)"
        found.append(Finding("addresses", "warning", "Docker Desktop: containers' addresses are not reachable from here", hint))
    return found


def privileges(*, full: bool | None) -> Finding:
    """Tell which way nodes get their privileges (both work); None: not known."""
    if full is None:
        return Finding("privilege", "warning", "not known: no image is here yet", "nothing to do: asked at the first start")
    other = "--privileged does not start here; nodes get all capabilities but CAP_SYS_RESOURCE instead"
    return Finding("privilege", "ok", "--privileged starts" if full else other)


def memory(total: int, available: int, topology: Topology) -> Finding:
    """Judge the memory against what the topology needs, in bytes. `available` 0: not known."""
    need = len(topology.masters) * MASTER_BYTES + len(topology.workers) * WORKER_BYTES + SPARE_BYTES
    free = min(total, available) if available else total
    seen = f"{free / GIB:.1f} GiB free, lab {topology.name} needs {need / GIB:.1f} GiB"
    if total < need:
        return Finding("memory", "failed", seen, "take a smaller topology (1m1w), or give Docker more memory")
    if free < need:
        return Finding("memory", "warning", seen, "end something, or take a smaller topology (1m1w)")
    return Finding("memory", "ok", seen)


def _available() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def _disk(info: dict[str, Any], topology: Topology, *, built: bool) -> list[Finding]:
    root = Path(str(info.get("DockerRootDir", "/")))
    place = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    return [disk(shutil.disk_usage(place).free, len(topology.machines), str(place), built=built)]


def disk(free: int, nodes: int, place: str, *, built: bool = False) -> Finding:
    """Judge the free bytes where the engine keeps its data; what is built already needs no room for building."""
    need, room = NODE_BYTES * nodes, 0 if built else BUILD_BYTES
    seen = f"{free / GIB:.1f} GiB free at {place}, {nodes} nodes need {need / GIB:.1f} GiB"
    if free < need:
        return Finding("disk", "failed", seen, "free some: `docker system df`, `halab images remove`")
    if free < need + room:
        return Finding("disk", "warning", f"{seen}, a first build {room / GIB:.0f} GiB more", "free some: `docker system df`")
    return Finding("disk", "ok", seen)


def _subnet(connected: Engine, topology: Topology) -> list[Finding]:
    used = host.taken(connected, {desired.network_name(topology.name), desired.management_name(topology.name)})
    return [subnet("subnet", topology.network.subnet, used), subnet("management", topology.network.management, used)]


def subnet(key: str, wanted: IPv4Network, used: dict[IPv4Network, str]) -> Finding:
    """Judge one of the lab's networks (its key in the file) against those that others use."""
    met = next((f"{network} ({what})" for network, what in used.items() if network.overlaps(wanted)), "")
    if not met:
        return Finding(key, "ok", f"{wanted} meets no other network")
    free = next((str(one) for one in host.CANDIDATES if not any(one.overlaps(other) for other in used)), "none found")
    return Finding(key, "failed", f"{wanted} meets {met}", f"free is {free}: change network.{key} (and the addresses in it)")


def _port(topology: Topology, observed: Observed) -> list[Finding]:
    wanted = topology.loadbalancer.host_port
    own = wanted in {number for container in observed.containers for number in container.ports.values()}
    return _guarded("port", lambda: [port(wanted, wanted if own else host.free_port(wanted))])


def port(wanted: int, free: int) -> Finding:
    """Judge the API's port on the host: `free` is the one that a lab would take (its own, if it holds it already)."""
    if wanted and free != wanted:
        return Finding("port", "warning", f"{wanted} is in use here", f"a lab takes {free}, or set loadbalancer.host_port")
    return Finding("port", "ok", f"{wanted or 'any'} can be used")


def helpers(connected: Engine) -> list[str]:
    """Give the helper containers that no running halab can still need."""
    limit = (datetime.now(UTC) - HELPER_AGE).isoformat()  # the engine's times are UTC in this form: they compare as texts
    return [helper for helper in connected.labelled("halab.helper=1")[0] if connected.inspect(helper)["Created"] < limit]


def leftovers(found: Collection[str]) -> Finding:
    """Judge helper containers that a killed run left."""
    if not found:
        return Finding("left-overs", "ok", "none")
    return Finding("left-overs", "warning", f"{len(found)} helper containers", "`halab doctor --fix` removes them", fixable=True)


def _host() -> list[Finding]:
    found = _guarded("inotify", lambda: [watches(name) for name in INOTIFY])
    features = {name: feature(name) for name in FEATURES}
    limit = open_files(*resource.getrlimit(resource.RLIMIT_NOFILE))
    return [*found, limit, kernel(features), bridge(features["br_netfilter"])]


def open_files(soft: int, hard: int) -> Finding:
    """Judge the limit of open files: the hard one, up to which any program raises its own."""
    seen = f"{soft}, at most {'any number' if hard == resource.RLIM_INFINITY else hard}"
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        return Finding("open files", "warning", seen, f"raise the hard limit to {OPEN_FILES} (limits.conf(5))")
    return Finding("open files", "ok", seen)


def watches(name: str) -> Finding:
    """Look at one inotify limit."""
    return inotify(name, int(Path("/proc/sys/fs/inotify", name).read_text()), INOTIFY[name])


def inotify(name: str, value: int, least: int) -> Finding:
    """Judge one inotify limit; too few of them let kubelets fail with "too many open files"."""
    if value >= least:
        return Finding(f"fs.inotify.{name}", "ok", str(value))
    remedy = f"`halab doctor --fix` as root, or: sudo sysctl -w fs.inotify.{name}={least}"
    return Finding(f"fs.inotify.{name}", "warning", f"{value}, {least} are needed for six nodes", remedy, fixable=True)


def kernel(features: dict[str, Feature]) -> Finding:
    """Judge the kernel's features. Modules are loaded when first used, but for br_netfilter."""
    by = {state: " ".join(name for name, found in features.items() if found == state) for state in features.values()}
    if "lacking" in by:
        return Finding("kernel", "failed", f"lacks {by['lacking']}", "take a kernel with it (Ubuntu: linux-modules-extra)")
    if "unknown" in by:
        return Finding("kernel", "warning", f"not found: {by['unknown']}", f"try `sudo modprobe -a {by['unknown']}`")
    return Finding("kernel", "ok", ", ".join(features))


def bridge(feature: Feature) -> Finding:
    """Judge br_netfilter, which nobody asks for; `start` loads it, too, where it can."""
    if feature == "there":
        return Finding("br_netfilter", "ok", "rules see bridged packets")
    remedy = f"`halab doctor --fix` as root, or: {privilege.BRIDGE_REMEDY}"
    seen = "not loaded; without it Services lose the answers of pods on the asker's node"
    return Finding("br_netfilter", "warning", seen, remedy, fixable=feature == "loadable")


def _sources() -> list[Finding]:
    """Ask which sources answer; a lab needs none of them once its images are built."""
    table, arch = versions.read(data.shipped("images")).components, images.architecture()
    release = k3s_release.binary(table["k3s"].version, arch).url
    asked = {"downloads": table["coredns"].expand(table["coredns"].url, arch), "K3s release": release}
    with ThreadPoolExecutor() as pool:
        answers = pool.map(components.reachable, asked.values())
        return [source(name, answers=answer) for name, answer in zip(asked, answers, strict=True)]


def source(name: str, *, answers: bool) -> Finding:
    """Judge a source; there is another way for each."""
    k3s = "give `images: {k3s_binary: PATH}` for K3s; else upstream Kubernetes is used"
    otherwise = k3s if "K3s" in name else "nothing to do: built from Go modules and Debian's packages instead"
    return Finding(name, "ok", "reached") if answers else Finding(name, "warning", "not reached", otherwise)


def build_tools() -> Finding:
    """Look for the build tools."""
    return tools([name for name, place in TOOLS.items() if not there(name, place)], apt=there("apt-get"))


def tools(missing: Collection[str], *, apt: bool) -> Finding:
    """Judge the build tools. Go is no matter: where it is missing, a Python package brings it (components)."""
    if not (names := " ".join(name for name in missing if name != "go")):
        return Finding("build tools", "ok", "gcc, debootstrap and go" + (", which is installed when needed" if missing else ""))
    remedy = f"`halab doctor --fix` as root, or: sudo apt-get install {names}" if apt else "install them if your system has them"
    return Finding("build tools", "warning", f"not here: {names}; needed where nothing can be downloaded", remedy, fixable=apt)
