"""Whether this machine can run a lab: facts are gathered, then judged by pure functions. Never raises for a sick machine."""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import doctor_host, doctor_realtime, host
from lab.base import paths
from lab.base.errors import LabError
from lab.engine import about, client, fitness, labels
from lab.engine.spec import Observed
from lab.finding import Finding
from lab.images import components, k3s_release, sources, versions
from lab.images.sources import architecture, sources_for, tags
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from ipaddress import IPv4Network

    from lab.engine.client import Engine
    from lab.topology.model import Topology

MIB, GIB = 1024**2, 1024**3
MIN_API = (1, 41)  # Docker 20.10: the first with private cgroup namespaces
MASTER_BYTES, WORKER_BYTES, SPARE_BYTES = 600 * MIB, 150 * MIB, 512 * MIB  # an idle lab: up to 570 a master, 110 a worker
BUILD_BYTES = 6 * GIB
# What a node writes, volumes and all. K3s's holds its unpacked programs (250 MB) and the archive of
# its images (200 MB), which an empty volume copies from the image, and what it imports (1.3 GB:
# archive of v1.36 unpacked, with its compressed blobs).
NODE_BYTES = {"upstream": 512 * MIB, "k3s": 1843 * MIB}
BESIDE_BYTES = 64 * MIB  # a balancer's or a controller's journal and files
DOWNLOADS, RELEASE = "downloads", "K3s release"
# Where PATH may not lead.
TOOLS = {"debootstrap": "/usr/sbin/debootstrap", "go": "/usr/local/go/bin/go"}
HELPER_AGE = timedelta(minutes=10)  # a younger one may belong to a halab that works right now: none lives longer than 300 s


def examine(topology: Topology | None = None) -> tuple[Finding, ...]:
    """Look at everything; `topology` says what is needed (else the reference lab)."""
    wanted = topology or loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
    built: tuple[str, ...] = ()
    with ThreadPoolExecutor(1) as pool:
        sources = pool.submit(_guarded, "sources", _sources)  # beside all else: what is not reached takes its whole time-out
        try:
            connected = client.connect()
            info = connected.info()
            built = _built(connected, wanted)
            found = _engine(connected, info, wanted)
            if connected.local:
                found += [*doctor_host.look(), *doctor_realtime.look(info)]
                found += _guarded("disk", lambda: _disk(info, wanted, built, sources.result()))
        except LabError as error:
            ours = about.startable()
            startable = ours and (there("dockerd", "/usr/sbin/dockerd") or there("apt-get"))
            found = [no_engine(error, startable=startable), *_port(wanted, Observed(lab=""))]
            found += doctor_host.look() if ours else []
        needed = not built and not _reached(sources.result(), DOWNLOADS)
        return (*found, *sources.result(), build_tools(needed=needed))


def _built(connected: Engine, topology: Topology) -> tuple[str, ...]:
    """Give the distributions of the topology whose images are all here, in its order."""
    with contextlib.suppress(LabError):  # for an architecture of no images there are none
        known, here = tags(sources_for(connected, topology)), connected.images()
        names = topology.kubernetes.distributions
        wants = {name: {known[word] for word in (*sources.BESIDE, name)} for name in names}
        return tuple(name for name in names if wants[name] <= set(here))
    return ()


def _reached(sources: list[Finding], name: str) -> bool:
    return any(source.name == name and source.state == "ok" for source in sources)


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
        "privilege": lambda: [privileges(full=fitness.privileged(connected, min(ours)) if ours else None)],
        "memory": lambda: [memory(int(info.get("MemTotal", 0)), _available() if near else 0, topology)],
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
    why, remedy = fitness.unfit(info)
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


def _disk(
    info: dict[str, Any], topology: Topology, built: tuple[str, ...], sources: list[Finding]
) -> list[Finding]:
    root = Path(str(info.get("DockerRootDir", "/")))
    place = next((path for path in (root, *root.parents) if path.exists()), Path("/"))
    name = likely(topology, built, k3s=_reached(sources, RELEASE))
    free = shutil.disk_usage(place).free
    return [disk(free, topology, name, str(place), built=bool(built))]


def likely(topology: Topology, built: tuple[str, ...], *, k3s: bool) -> str:
    """Give the distribution that a lab would get; `k3s` says whether its release can be reached."""
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
        return Finding("disk", "failed", seen, "free some: `docker system df`, `halab images remove`")
    if free < need + room:
        return Finding("disk", "warning", f"{seen}, a first build {room / GIB:.0f} GiB more", "free some: `docker system df`")
    return Finding("disk", "ok", seen)


def _subnet(connected: Engine, topology: Topology) -> list[Finding]:
    used = host.taken(connected, {labels.network_name(topology.name), labels.management_name(topology.name)})
    chosen = host.management(topology, used)
    return [subnet("subnet", topology.network.subnet, used), subnet("management", chosen, used)]


def subnet(key: str, wanted: IPv4Network, used: dict[IPv4Network, str]) -> Finding:
    """Judge one of the lab's networks (its key in the file) against those that others use."""
    met = next((f"{network} ({what})" for network, what in used.items() if network.overlaps(wanted)), "")
    if not met:
        return Finding(key, "ok", f"{wanted} meets no other network")
    free = host.free_network(used, wanted.prefixlen)
    remedy = f"free is {free}: --set network.{key}={free}" if free else "end what uses it"
    return Finding(key, "failed", f"{wanted} meets {met}", remedy)


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


def _sources() -> list[Finding]:
    """Ask which sources answer; a lab needs none of them once its images are built."""
    table, arch = versions.read(paths.shipped("images")).components, architecture()
    release = k3s_release.binary(table["k3s"].version, arch).url
    asked = {DOWNLOADS: table["coredns"].expand(table["coredns"].url, arch), RELEASE: release}
    with ThreadPoolExecutor() as pool:
        answers = pool.map(components.reachable, asked.values())
        return [source(name, answers=answer) for name, answer in zip(asked, answers, strict=True)]


def source(name: str, *, answers: bool) -> Finding:
    """Judge a source; there is another way for each."""
    k3s = "give `images: {k3s_binary: PATH}` for K3s; else upstream Kubernetes is used"
    otherwise = k3s if "K3s" in name else "nothing to do: built from Go modules and Debian's packages instead"
    return Finding(name, "ok", "reached") if answers else Finding(name, "warning", "not reached", otherwise)


def build_tools(*, needed: bool = True) -> Finding:
    """Look for the build tools."""
    missing = [name for name, place in TOOLS.items() if not there(name, place)]
    return tools(missing, apt=there("apt-get"), needed=needed)


def tools(missing: Collection[str], *, apt: bool, needed: bool = True) -> Finding:
    """Judge the build tools: `needed` where images are missing and nothing can be downloaded.

    Go is no matter: where it is missing, a Python package brings it (components).
    """
    if not (names := " ".join(name for name in missing if name != "go")):
        later = ", which is installed when needed" if missing else ""
        return Finding("build tools", "ok", f"debootstrap and go{later}")
    if not needed:
        return Finding("build tools", "ok", f"not here: {names}; not needed")
    remedy = f"`halab doctor --fix` as root, or: sudo apt-get install {names}" if apt else "install them if your system has them"
    return Finding("build tools", "warning", f"not here: {names}; needed where nothing can be downloaded", remedy, fixable=apt)
