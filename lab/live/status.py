"""What a lab is like now: asked from the engine, the nodes and the cluster, side by side; what cannot be asked says why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.engine.labels import LABEL_RELEASE
from lab.kube.objects import node_ready
from lab.live import active_faults
from lab.nodes.ha import fencings
from lab.topology.model import Role

if TYPE_CHECKING:
    from lab.engine.spec import Observed
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.nodes.distributions import HealthCheck
    from lab.nodes.ha.fencings import Fencing
    from lab.topology.model import Node

UNKNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node: the engine's word for its state, Kubernetes' for its readiness, etcd's for its part."""

    name: str
    role: str
    ip: str
    state: str
    kubernetes: str
    version: str
    etcd: str
    vip: bool
    api: str = UNKNOWN
    """What a master's own API server says of itself: ready, not ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab. `api` is where kubeconfigs point; `problems` tell what could not be asked."""

    name: str
    distribution: str
    release: str
    """What the distribution's own program says that it is; empty for upstream, whose nodes'
    versions say it all."""
    api: str
    vip: str
    vip_holders: tuple[str, ...]
    etcd_leader: str
    nodes: tuple[NodeStatus, ...]
    fencing: bool
    """Whether the topology has it on."""
    fenced: str
    """What becomes of a lost master: off-stays, reboot, none."""
    fencings: tuple[Fencing, ...]
    """Those of the last hour, as masters that run noted them."""
    bmc: str
    """The engine's word for the state of the baseboard controllers' container, without which nobody
    can be fenced."""
    addons: tuple[str, ...]
    faults: tuple[str, ...]
    """Faults that are on: `hang at m`."""
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def release(observed: Observed) -> str:
    """Return what the nodes' image says of its distribution's program."""
    return next(
        (
            found.labels[LABEL_RELEASE]
            for found in observed.containers
            if LABEL_RELEASE in found.labels
        ),
        "",
    )


def holds_vip(output: str, vip: str) -> bool:
    """Whether `ip -4 -o addr` shows the address."""
    return any(word.split("/")[0] == vip for word in output.split())


def etcd_part(metrics: str) -> str:
    """Read etcd's metrics: leader, follower, or no leader known."""
    values = dict(
        line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("etcd_server_")
    )
    if values.get("etcd_server_has_leader") != "1":
        return "no leader" if values else UNKNOWN
    return "leader" if values.get("etcd_server_is_leader") == "1" else "follower"


def _master(lab: Lab, node: Node, health: HealthCheck) -> Master:
    """Ask a master for its part in etcd, whether it holds the floating address, and whether its API server can serve, in one command."""
    ask = (
        "ip -4 -o addr show dev eth0; curl -s --max-time 2 http://127.0.0.1:2381/metrics | grep -E '^etcd_server_(is|has)_leader'; "
        f"curl -s -o /dev/null -w 'api %{{http_code}}' --max-time 2 --cacert {health.ca} --cert {health.certificate} --key {health.key} {health.url}"
    )
    words = ["sh", "-c", f"{fencings.ASK}; {ask}"]
    output = lab.node(node.name).run(words, check=False, timeout_s=8).output
    api = "ready" if "api 200" in output else "not ready"
    vip = holds_vip(output, str(lab.topology.network.vip))
    return Master(etcd_part(output), vip=vip, api=api, fencings=tuple(fencings.alerts(output)))


@dataclass(frozen=True, slots=True)
class Master:
    """What a master says of itself."""

    etcd: str = UNKNOWN
    vip: bool = False
    api: str = UNKNOWN
    fencings: tuple[Fencing, ...] = ()


def _kubernetes(access: Access) -> dict[str, dict[str, Any]]:
    with access.cluster() as cluster:
        return cluster.nodes()


def look(lab: Lab, access: Access | None = None) -> LabStatus:
    """Look at everything, side by side; `access` where the caller has it already.

    Raises EngineError only: a lab in pieces is described, not complained about.
    """
    observed = lab.observe()
    problems: list[str] = []
    running = [node for node in lab.topology.masters if _runs(observed, node)]
    with ThreadPoolExecutor(8) as pool:
        ways = pool.submit(lambda: access or lab.access(lab.distribution(observed)))
        nodes = pool.submit(lambda: _kubernetes(ways.result()))
        faults = pool.submit(_faults, lab, observed)
        asked = {
            node.name: pool.submit(_master, lab, node, lab.distribution(observed).health)
            for node in running
        }
        masters = {
            name: _answer(future.result, Master(), problems) for name, future in asked.items()
        }
        kubernetes: dict[str, dict[str, Any]] = _answer(nodes.result, {}, problems)
    rows = tuple(
        _row(node, observed, kubernetes, masters.get(node.name, Master()))
        for node in lab.topology.machines
    )
    bmc = observed.container(lab.topology.bmc.name)
    return LabStatus(
        name=lab.name,
        distribution=_answer(lambda: lab.distribution(observed).name, UNKNOWN, problems),
        release=release(observed),
        api=_answer(lambda: ways.result().server, UNKNOWN, []),
        vip=str(lab.topology.network.vip),
        vip_holders=tuple(row.name for row in rows if row.vip),
        etcd_leader=next((row.name for row in rows if row.etcd == "leader"), ""),
        nodes=rows,
        fencing=lab.topology.ha.fencing,
        fenced=lab.topology.ha.fenced,
        fencings=fencings.merged(one for master in masters.values() for one in master.fencings),
        bmc=bmc.state if bmc else "missing",
        addons=lab.topology.addons,
        faults=_answer(faults.result, (), problems),
        problems=tuple(dict.fromkeys(problems)),
    )


def _runs(observed: Observed, node: Node) -> bool:
    container = observed.container(node.name)
    return container is not None and container.running


def _faults(lab: Lab, observed: Observed) -> tuple[str, ...]:
    there = [lab.node(node.name) for node in lab.topology.machines if observed.container(node.name)]
    return tuple(f"{hit.fault} at {hit.node}" for hit in active_faults.read(lab.engine, there))


def _answer(ask: Any, otherwise: Any, problems: list[str]) -> Any:  # noqa: ANN401 (the type is the caller's)
    try:
        return ask()
    except LabError as error:
        problems.append(error.message)
        return otherwise


def _row(
    node: Node, observed: Observed, kubernetes: dict[str, dict[str, Any]], master: Master
) -> NodeStatus:
    found = observed.container(node.name)
    item = kubernetes.get(node.name)
    ready = UNKNOWN
    if item is not None:
        ready = "Ready" if node_ready(item)[0] else "NotReady"
    elif node.role is not Role.LOADBALANCER and kubernetes:
        ready = "not registered"
    return NodeStatus(
        name=node.name,
        role=node.role.value,
        ip=str(node.ip),
        state=found.state if found else "missing",
        kubernetes=ready,
        version=item["status"]["nodeInfo"]["kubeletVersion"] if item else UNKNOWN,
        etcd=master.etcd,
        vip=master.vip,
        api=master.api,
    )
