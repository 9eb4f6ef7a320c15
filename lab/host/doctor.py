"""Whether this machine can run a lab: facts are gathered, then judged by pure functions.

Never raises for a sick machine.
"""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.base import paths
from lab.base.errors import LabError
from lab.engine import about, client, fitness, labels
from lab.engine.spec import Observed
from lab.host import limits, network, realtime
from lab.host.findings import (
    Finding,
    disk,
    leftovers,
    likely,
    memory,
    no_engine,
    port,
    privileges,
    source,
    subnet,
    tools,
    unfit,
    version,
    way,
)
from lab.images import components, k3s_release, sources, versions
from lab.images.sources import architecture, sources_for, tags
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.engine.client import Engine
    from lab.topology.model import Topology

DOWNLOADS, RELEASE = "downloads", "K3s release"
# Where PATH may not lead.
TOOLS = {"debootstrap": "/usr/sbin/debootstrap", "go": "/usr/local/go/bin/go"}
HELPER_AGE = timedelta(
    minutes=10
)  # a younger one may belong to a halab that works right now: none lives longer than 300 s


def examine(topology: Topology | None = None) -> tuple[Finding, ...]:
    """Look at everything; `topology` says what is needed (else the reference lab)."""
    wanted = topology or loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
    built: tuple[str, ...] = ()
    with ThreadPoolExecutor(1) as pool:
        sources = pool.submit(
            _guarded, "sources", _sources
        )  # beside all else: what is not reached takes its whole time-out
        try:
            connected = client.connect()
            info = connected.info()
            built = _built(connected, wanted)
            found = _engine(connected, info, wanted)
            if connected.local:
                found += [*limits.look(), *realtime.look(info)]
                found += _guarded("disk", lambda: _disk(info, wanted, built, sources.result()))
        except LabError as error:
            ours = about.startable()
            startable = ours and (there("dockerd", "/usr/sbin/dockerd") or there("apt-get"))
            found = [no_engine(error, startable=startable), *_port(wanted, Observed(lab=""))]
            found += limits.look() if ours else []
        needed = not built and not _reached(sources.result(), DOWNLOADS)
        return (*found, *sources.result(), build_tools(needed=needed))


def _built(connected: Engine, topology: Topology) -> tuple[str, ...]:
    """Return the distributions of the topology whose images are all here, in its order."""
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
        seen, remedy = (
            (error.message, error.hint) if isinstance(error, LabError) else (repr(error), "")
        )
        return [Finding(name, "warning", f"could not be looked at: {seen}", remedy)]


def there(program: str, place: str = "") -> bool:
    """Whether a program is here, in PATH or in its usual place."""
    return bool(shutil.which(program) or shutil.which(place))


def _engine(connected: Engine, info: dict[str, Any], topology: Topology) -> list[Finding]:
    near, ours = connected.local, connected.images()
    looks: dict[str, Callable[[], list[Finding]]] = {
        "engine": lambda: [version(info), *unfit(info), *way(info)],
        "privilege": lambda: [
            privileges(full=fitness.privileged(connected, min(ours)) if ours else None)
        ],
        "memory": lambda: [
            memory(int(info.get("MemTotal", 0)), _available() if near else 0, topology)
        ],
        "subnet": lambda: _subnet(connected, topology),
        "port": lambda: _port(topology, connected.observe(topology.name)),
        "left-overs": lambda: [leftovers(helpers(connected))],
    }
    return [finding for name, look in looks.items() for finding in _guarded(name, look)]


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


def _subnet(connected: Engine, topology: Topology) -> list[Finding]:
    used = network.taken(
        connected, {labels.network_name(topology.name), labels.management_name(topology.name)}
    )
    chosen = network.management(topology, used)
    return [subnet("subnet", topology.network.subnet, used), subnet("management", chosen, used)]


def _port(topology: Topology, observed: Observed) -> list[Finding]:
    wanted = topology.loadbalancer.host_port
    own = wanted in {
        number for container in observed.containers for number in container.ports.values()
    }
    return _guarded("port", lambda: [port(wanted, wanted if own else network.free_port(wanted))])


def helpers(connected: Engine) -> list[str]:
    """Return the helper containers that no running halab can still need."""
    limit = (
        datetime.now(UTC) - HELPER_AGE
    ).isoformat()  # the engine's times are UTC in this form: they compare as texts
    return [
        helper
        for helper in connected.labelled("halab.helper=1")[0]
        if connected.inspect(helper)["Created"] < limit
    ]


def _sources() -> list[Finding]:
    """Ask which sources answer; a lab needs none of them once its images are built."""
    table, arch = versions.read(paths.shipped("images")).components, architecture()
    release = k3s_release.binary(table["k3s"].version, arch).url
    asked = {DOWNLOADS: table["coredns"].expand(table["coredns"].url, arch), RELEASE: release}
    with ThreadPoolExecutor() as pool:
        answers = pool.map(components.reachable, asked.values())
        return [source(name, answers=answer) for name, answer in zip(asked, answers, strict=True)]


def build_tools(*, needed: bool = True) -> Finding:
    """Look for the build tools."""
    missing = [name for name, place in TOOLS.items() if not there(name, place)]
    return tools(missing, apt=there("apt-get"), needed=needed)
