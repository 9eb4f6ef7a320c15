"""`halab doctor`: gather the facts that decide whether this machine can run a lab.

Pure functions (findings.py, limits.py) judge them. Nothing here raises for a sick machine: what
cannot be looked at is a finding, too.
"""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lab.base import paths
from lab.base.errors import LabError
from lab.engine import about, client, fitness, labels
from lab.engine.spec import Observed
from lab.host import capacity, cpu_weight, limits, network, realtime, room_findings
from lab.host.findings import (
    Finding,
    engine_setup,
    leftovers,
    likely,
    no_engine,
    port,
    privileges,
    source,
    subnet,
    tools,
    unfit,
    version,
)
from lab.images import components, k3s_release, sources, versions
from lab.images.sources import architecture, sources_for, tags
from lab.topology import loader

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.engine.client import Engine
    from lab.topology.model import Topology

DOWNLOADS, RELEASE = "downloads", "K3s release"
TOOLS = {"debootstrap": "/usr/sbin/debootstrap", "go": "/usr/local/go/bin/go"}
"""Build tool → where it usually is; PATH may not lead there."""
HELPER_AGE = timedelta(minutes=10)
"""A younger helper container may belong to a halab that runs now. None lives longer than 300 s."""


def examine(topology: Topology | None = None) -> tuple[Finding, ...]:
    """Return the findings about this machine and its engine, for a lab of this topology.

    Without one, for the reference lab.
    """
    lab = topology or loader.load(paths.shipped("topologies") / "3m3w.yaml").topology
    built: tuple[str, ...] = ()
    with ThreadPoolExecutor(1) as pool:
        # Meanwhile: a source that cannot be reached takes its whole time-out.
        sources = pool.submit(_guarded, "sources", _sources)
        try:
            connected = client.connect()
            info = connected.info()
            built = _built(connected, lab)
            findings = _engine(connected, info, lab)
            if connected.local:
                findings += [*limits.look(), *realtime.look(info), *cpu_weight.look(info)]
                findings += _guarded(
                    "disk", lambda: [_disk(connected, info, lab, built, sources.result())]
                )
        except LabError as error:
            ours = about.startable()
            startable = ours and (there("dockerd", "/usr/sbin/dockerd") or there("apt-get"))
            findings = [no_engine(error, startable=startable), *_port(lab, Observed(lab=""))]
            findings += limits.look() if ours else []
        needed = not built and not _reached(sources.result(), DOWNLOADS)
        return (*findings, *sources.result(), build_tools(needed=needed))


def _built(connected: Engine, topology: Topology) -> tuple[str, ...]:
    """Return the topology's distributions whose images are all here, in its order."""
    with contextlib.suppress(LabError):  # an architecture that halab has no images for
        known, here = tags(sources_for(connected, topology)), connected.images()
        names = topology.kubernetes.distributions
        needs = {name: {known[image] for image in (*sources.COMMON_IMAGES, name)} for name in names}
        return tuple(name for name in names if needs[name] <= set(here))
    return ()


def _reached(sources: list[Finding], name: str) -> bool:
    return any(source.name == name and source.state == "ok" for source in sources)


def _guarded(name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what `look` returns, or a finding that says why it could not look."""
    try:
        return look()
    except (LabError, OSError, ValueError, KeyError) as error:
        reason, remedy = (
            (error.message, error.hint) if isinstance(error, LabError) else (repr(error), "")
        )
        return [Finding(name, "warning", f"could not be looked at: {reason}", remedy)]


def there(program: str, place: str = "") -> bool:
    """Whether a program is installed: in PATH, or at the path where it usually is."""
    return bool(shutil.which(program) or shutil.which(place))


def _engine(connected: Engine, info: dict[str, Any], topology: Topology) -> list[Finding]:
    ours = connected.images()
    looks: dict[str, Callable[[], list[Finding]]] = {
        "engine": lambda: [version(info), *unfit(info), *engine_setup(info)],
        "privilege": lambda: [
            privileges(full=fitness.privileged(connected, min(ours)) if ours else None)
        ],
        "memory": lambda: _memory(connected, info, topology),
        "subnet": lambda: _subnet(connected, topology),
        "port": lambda: _port(topology, connected.observe(topology.name)),
        "left-overs": lambda: [leftovers(helpers(connected))],
    }
    return [finding for name, look in looks.items() for finding in _guarded(name, look)]


def _memory(connected: Engine, info: dict[str, Any], topology: Topology) -> list[Finding]:
    """Return whether there is room for the lab beside those that run: memory, processors."""
    others = capacity.others(connected, topology.name)
    room = capacity.room_of(info, others, local=connected.local)
    off = capacity.starting(topology, connected.observe(topology.name))
    return [
        room_findings.memory(topology, off, room),
        room_findings.processors(topology, others, room),
    ]


def _disk(
    connected: Engine,
    info: dict[str, Any],
    topology: Topology,
    built: tuple[str, ...],
    sources: list[Finding],
) -> Finding:
    name = likely(topology, built, k3s=_reached(sources, RELEASE))
    making = capacity.missing(topology, connected.observe(topology.name))
    room = capacity.room_of(info, (), local=True)
    place = str(info.get("DockerRootDir", "/"))
    return room_findings.disk(topology, making, room, name, place=place, built=bool(built))


def _subnet(connected: Engine, topology: Topology) -> list[Finding]:
    used = network.taken(
        connected, {labels.network_name(topology.name), labels.management_name(topology.name)}
    )
    chosen = network.management(topology, used)
    return [subnet("subnet", topology.network.subnet, used), subnet("management", chosen, used)]


def _port(topology: Topology, observed: Observed) -> list[Finding]:
    number = topology.loadbalancer.host_port
    own = number in {
        published for container in observed.containers for published in container.ports.values()
    }
    return _guarded("port", lambda: [port(number, number if own else network.free_port(number))])


def helpers(connected: Engine) -> list[str]:
    """Return the ids of helper containers that no running halab can still need."""
    # The engine writes its times in UTC and in this form: they compare as texts.
    limit = (datetime.now(UTC) - HELPER_AGE).isoformat()
    return [
        helper
        for helper in connected.labelled("halab.helper=1")[0]
        if connected.inspect(helper)["Created"] < limit
    ]


def _sources() -> list[Finding]:
    """Return which sources answer. A lab needs none of them once its images are built."""
    table, arch = versions.read(paths.shipped("images")).components, architecture()
    release = k3s_release.binary(table["k3s"].version, arch).url
    asked = {DOWNLOADS: table["coredns"].expand(table["coredns"].url, arch), RELEASE: release}
    with ThreadPoolExecutor() as pool:
        answers = pool.map(components.reachable, asked.values())
        return [source(name, answers=answer) for name, answer in zip(asked, answers, strict=True)]


def build_tools(*, needed: bool = True) -> Finding:
    """Return whether the build tools are installed; `needed`: an image must be built with them."""
    missing = [name for name, place in TOOLS.items() if not there(name, place)]
    return tools(missing, apt=there("apt-get"), needed=needed)
