"""What a lab is like now.

The engine, the nodes and the cluster are asked side by side. If one of them cannot be asked, the
status says why.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from lab.base.errors import LabError
from lab.engine.labels import LABEL_RELEASE
from lab.kube.objects import node_ready
from lab.live import active_faults, master_status
from lab.live.active_faults import FaultRecords
from lab.live.kubeconfig_answer import KubeconfigAnswer
from lab.live.master_status import UNKNOWN, MasterStatus
from lab.nodes.ha import fencings
from lab.topology.model import MachineSize, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from lab.engine.spec import Observed
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.nodes.ha.fencings import Fencing
    from lab.topology.model import Node

HEALED_LATELY_S = 30.0
"""A fencing so long after a fault was healed may still be its work: who was away is fenced late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One machine of the lab; UNKNOWN stands for what cannot be said of it."""

    name: str
    role: str
    ip: str
    state: str
    """The engine's own term, or `missing`."""
    kubernetes: str
    """Ready, NotReady or `not registered`."""
    version: str
    """Its kubelet's."""
    etcd: str
    """A master's part in etcd: leader, follower, `no leader`."""
    vip: bool
    """Whether it has the floating address."""
    api: str = UNKNOWN
    """What a master's own API server says of itself: ready, not ready."""
    cpus: float = 0
    """How many processors it may use at most; 0: all."""
    memory: int = 0
    """How many bytes of memory it may use at most; 0: all."""

    @property
    def size(self) -> MachineSize:
        """What it may use of the host, as the topology has it."""
        return MachineSize(millicpus=round(self.cpus * 1000), memory=self.memory)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab, as `halab status` shows it."""

    name: str
    distribution: str
    release: str
    """What the distribution's own program says that it is.

    It is empty for upstream, whose nodes' versions say it all.
    """
    api: str
    """The URL in kubeconfigs."""
    vip: str
    vip_holders: tuple[str, ...]
    etcd_leader: str
    nodes: tuple[NodeStatus, ...]
    fencing: bool
    """Whether the topology has it on."""
    fenced: str
    """What becomes of a lost master: off-stays, reboot, none."""
    fencings: tuple[Fencing, ...]
    """Those of the last hour, as running masters noted them."""
    bmc: str
    """The state of the baseboard controllers' container, without which nobody can be fenced."""
    addons: tuple[str, ...]
    faults: tuple[str, ...]
    """Active faults: `hang at m`."""
    problems: tuple[str, ...]
    """Why something could not be asked."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def release(observed: Observed) -> str:
    """Return what the label of the nodes' image says of the distribution's program; or ""."""
    labels = (container.labels.get(LABEL_RELEASE) for container in observed.containers)
    return next((text for text in labels if text), "")


def _kubernetes(access: Access) -> dict[str, dict[str, Any]]:
    with access.cluster() as cluster:
        return cluster.nodes()


class StatusQuery:
    """A status that is being asked for. With the end of the block, everything has been answered."""

    def __init__(
        self,
        lab: Lab,
        observed: Observed,
        access: Access | None = None,
        more: Sequence[str] = (),
    ) -> None:
        """Ask the engine, the masters and the cluster, side by side.

        `more` is a further command, for which the caller would have to ask the masters once more.
        """
        self._lab, self._observed = lab, observed
        running = [node for node in lab.topology.masters if _runs(observed, node)]
        kubeconfig = _asked_for(lab, observed, len(running)) if access is None else None
        pool = self._pool = ThreadPoolExecutor(len(running) + 3)
        ask = partial(_ask_master, lab, observed, kubeconfig, more)
        self._masters = {node.name: pool.submit(ask, node) for node in running}
        self._access = pool.submit(lambda: access or _find_access(lab, observed, kubeconfig))
        self._nodes = pool.submit(lambda: _kubernetes(self._access.result()))
        self._records = pool.submit(_fault_records, lab, observed, self._masters)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for all answers."""
        self._pool.shutdown()

    def access(self) -> Access:
        """Wait for the way to the API, which comes first. Raises LabError as `Lab.access`."""
        return self._access.result()

    def more(self, node: str) -> str:
        """Wait for what the further command printed on a master; "" if it could not be asked."""
        master = self._masters.get(node)
        return "" if master is None or master.exception() else master.result().more

    def status(self) -> LabStatus:
        """Wait for the status."""
        lab, observed = self._lab, self._observed
        problems: list[str] = []
        masters = {
            name: _answer(future.result, MasterStatus(), problems)
            for name, future in self._masters.items()
        }
        kubernetes: dict[str, dict[str, Any]] = _answer(self._nodes.result, {}, problems)
        rows = tuple(
            _row(node, observed, kubernetes, masters.get(node.name, MasterStatus()))
            for node in lab.topology.machines
        )
        faults = _answer(self._records.result, FaultRecords(), problems)
        bmc = observed.container(lab.topology.bmc.name)
        return LabStatus(
            name=lab.name,
            distribution=_answer(lambda: lab.distribution(observed).name, UNKNOWN, problems),
            release=release(observed),
            api=_answer(lambda: self.access().server, UNKNOWN, []),
            vip=str(lab.topology.network.vip),
            vip_holders=tuple(row.name for row in rows if row.vip),
            etcd_leader=next((row.name for row in rows if row.etcd == "leader"), ""),
            nodes=rows,
            fencing=lab.topology.ha.fencing,
            fenced=lab.topology.ha.fenced,
            fencings=_fencings(masters.values(), faults),
            bmc=bmc.state if bmc else "missing",
            addons=lab.topology.addons,
            faults=tuple(f"{fault.fault} at {fault.node}" for fault in faults.active),
            problems=tuple(dict.fromkeys(problems)),
        )


def look(lab: Lab, access: Access | None = None, observed: Observed | None = None) -> LabStatus:
    """Return a lab's status.

    `access` is the way to the API, `observed` what the engine holds: each spares questions, if the
    caller has it already. Raises EngineError only if the engine cannot be asked: a lab in pieces is
    described, with its problems.
    """
    observed = lab.observe() if observed is None else observed
    with StatusQuery(lab, observed, access) as query:
        return query.status()


def _runs(observed: Observed, node: Node) -> bool:
    container = observed.container(node.name)
    return container is not None and container.running


def _asked_for(lab: Lab, observed: Observed, masters: int) -> KubeconfigAnswer | None:
    """Return the kubeconfig that masters are to print; None if none is needed, or none can."""
    if lab.knows_credentials or not masters:
        return None
    try:
        return KubeconfigAnswer(lab.distribution(observed).admin_kubeconfig, masters)
    except LabError:  # it is among the status's problems
        return None


def _find_access(lab: Lab, observed: Observed, kubeconfig: KubeconfigAnswer | None) -> Access:
    distribution = lab.distribution(observed)
    if kubeconfig:
        lab.learn_credentials(kubeconfig.first(), distribution)
    return lab.access(distribution, observed)


def _ask_master(
    lab: Lab,
    observed: Observed,
    kubeconfig: KubeconfigAnswer | None,
    more: Sequence[str],
    node: Node,
) -> MasterStatus:
    health, vip = lab.distribution(observed).health, str(lab.topology.network.vip)
    return master_status.ask(lab.node(node.name), vip, health, kubeconfig, more)


def _fault_records(
    lab: Lab, observed: Observed, masters: Mapping[str, Future[MasterStatus]]
) -> FaultRecords:
    """Return all machines' records: running masters tell their own, the engine reads the others.

    It also reads those of a master that could not be asked.
    """

    def read(names: Iterable[str]) -> FaultRecords:
        return active_faults.read_with_healed(lab.engine, [lab.node(name) for name in names])

    there = [node.name for node in lab.topology.machines if observed.container(node.name)]
    others = read(name for name in there if name not in masters)
    own = {
        name: future.result().records for name, future in masters.items() if not future.exception()
    }
    silent = read(name for name in masters if own.get(name) is None)
    return active_faults.together((others, silent, *(row for row in own.values() if row)))


def _fencings(masters: Iterable[MasterStatus], records: FaultRecords) -> tuple[Fencing, ...]:
    """Return the fencings of the last hour, each with halab's own faults of that moment."""
    spans = [
        *((fault.fault, fault.node, fault.since, math.inf) for fault in records.active),
        *((one.fault, one.node, one.since, one.until + HEALED_LATELY_S) for one in records.healed),
    ]

    def with_faults(fencing: Fencing) -> Fencing:
        own = [
            f"{fault} at {node}"
            for fault, node, since, until in spans
            if since <= fencing.at + 1 <= until + 1  # alerts note whole seconds
        ]
        return replace(fencing, faults=tuple(dict.fromkeys(own)))

    noted = fencings.merged(fencing for master in masters for fencing in master.fencings)
    return tuple(map(with_faults, noted))


def _answer(ask: Any, otherwise: Any, problems: list[str]) -> Any:  # noqa: ANN401 (the type is the caller's)
    """Return an answer; on an error note it and return something else."""
    try:
        return ask()
    except LabError as error:
        problems.append(error.message)
        return otherwise


def _row(
    node: Node, observed: Observed, kubernetes: dict[str, dict[str, Any]], master: MasterStatus
) -> NodeStatus:
    container = observed.container(node.name)
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
        state=container.state if container else "missing",
        kubernetes=ready,
        version=item["status"]["nodeInfo"]["kubeletVersion"] if item else UNKNOWN,
        etcd=master.etcd,
        vip=master.vip,
        api=master.api,
        cpus=node.size.millicpus / 1000,
        memory=node.size.memory,
    )
