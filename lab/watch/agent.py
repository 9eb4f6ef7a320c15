"""The samplers of a watch: an agent on the lab's network, and one on each worker.

Each ends with its reader. What is left of a killed watch is a container that has ended, or was
never started; it has the lab's label, and the next watch removes it.
"""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event
from lab.base.errors import EngineError, LabError
from lab.engine.files import File
from lab.engine.labels import LABEL, LABEL_HELPER, LABEL_WATCH, network_name
from lab.measure import agent_config
from lab.measure.instruments import CONFIGURATION
from lab.measure.listener import Listener
from lab.measure.manifests import PROGRAM
from lab.measure.target_service import free_ips
from lab.watch import questions
from lab.watch.node_talk import own_probe

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from lab.live.lab import Lab
    from lab.measure.probe import ProbeSpec

    Write = Callable[[Iterable[Event]], None]

ADDRESSES = slice(1, 9)
"""Of the free addresses: the first is a scenario's instrument's; eight watches may run."""
STARTED_WITHIN = timedelta(minutes=1)
"""A watch that lives starts the container that it made sooner."""


def complaint(listener: Listener | None) -> str:
    """Return why an agent ended, in a line; "" if it runs, or sampled and ended silently."""
    if listener is None or listener.alive:
        return ""
    if lines := listener.complaints.splitlines():
        return lines[-1]
    return "" if listener.last else str(listener.error or "it ended before it sampled")


class OutsideAgent:
    """The agent on the lab's network: API, VIP, etcd, nodes, the user's own probes."""

    def __init__(
        self,
        lab: Lab,
        begin: float,
        write: Write,
        more: tuple[ProbeSpec, ...],
        ended: threading.Event,
    ) -> None:
        """Nothing runs yet. `ended`: the watch is over, and nothing is started any more."""
        self._lab, self._begin, self._write, self._more = lab, begin, write, more
        self._ended = ended
        self._listener: Listener | None = None
        self._container = ""

    @property
    def alive(self) -> bool:
        """Whether it samples."""
        return self._listener is not None and self._listener.alive

    @property
    def sampled(self) -> bool:
        """Whether it has sampled since it was started."""
        return self._listener is not None and self._listener.last > 0

    @property
    def complaint(self) -> str:
        """Why it ended, in a line."""
        return complaint(self._listener)

    @property
    def clock(self) -> float:
        """What must be added to the machines' clock to get this process's."""
        return self._listener.offset if self._listener else 0.0

    def start(self) -> None:
        """Make and start it. Raises LabError, and leaves nothing, if it cannot."""
        self.stop()
        self._remove_ended()
        lab = self._lab
        rows = questions.outside(lab.topology, self._more)
        identities = agent_config.identities(lab.secrets(), lab.distribution())
        content = json.dumps(agent_config.configuration(rows, identities, attached=True)).encode()
        loadbalancer = lab.observe().container(lab.topology.loadbalancer.name)
        if loadbalancer is None:
            raise LabError(f"lab {lab.name} has no load balancer, whose image has the agent")
        now = time.monotonic() - self._begin
        self._write(Event(now, "instrument", row.instrument()) for row in rows)
        error: EngineError | None = None
        for ip in list(free_ips(lab.topology))[ADDRESSES]:
            if self._ended.is_set():
                return
            try:
                self._start(loadbalancer.image, ip, content)
            except EngineError as failed:  # another watch has the address
                error = failed
                self.stop()
            else:
                if self._ended.is_set():  # meanwhile: nobody else removes it any more
                    self.stop()
                return
        raise error or EngineError(f"{lab.topology.network.subnet} has no free address")

    def _start(self, image: str, ip: str, content: bytes) -> None:
        engine, name = self._lab.engine, self._lab.name
        labels = {LABEL: name, LABEL_WATCH: "1", **LABEL_HELPER}
        command = [PROGRAM, CONFIGURATION]
        self._container = engine.create_agent(image, command, network_name(name), ip, labels)
        engine.put(self._container, [File(path=CONFIGURATION, content=content, mode=0o600)])
        conversation = engine.converse(self._container)
        self._listener = Listener(conversation, self._begin, self._write, self._macs)
        engine.start(self._container)

    def _macs(self) -> dict[str, str]:
        """Return the machines by their MAC addresses."""
        network, nodes = network_name(self._lab.name), {}
        for node in self._lab.topology.machines:
            with contextlib.suppress(EngineError, KeyError):
                about = self._lab.engine.inspect(self._lab.node(node.name).container)
                nodes[about["NetworkSettings"]["Networks"][network]["MacAddress"]] = node.name
        return nodes

    def _remove_ended(self) -> None:
        """Remove what killed watches left."""
        engine = self._lab.engine
        for container in engine.labelled(LABEL_WATCH)[0]:
            with contextlib.suppress(EngineError):
                own = engine.owner(container) == self._lab.name
                if own and _is_left(engine.inspect(container)):
                    engine.remove_container(container)

    def stop(self) -> None:
        """End and remove it."""
        container, self._container = self._container, ""
        if container:
            with contextlib.suppress(EngineError):
                self._lab.engine.remove_container(container)
        if self._listener is not None:
            self._listener.join(2.0)
            self._listener = None


def _is_left(container: dict[str, Any]) -> bool:
    """Whether no watch can still need an agent's container."""
    state = container["State"]["Status"]
    if state == "exited":
        return True
    # The engine writes its times in UTC and in this form: they compare as texts.
    limit = (datetime.now(UTC) - STARTED_WITHIN).isoformat()
    return state in {"created", "dead"} and str(container.get("Created", "")) < limit


class NodeAgent:
    """The agent on a worker: Services and DNS, as its pods reach them."""

    def __init__(self, lab: Lab, node: str, begin: float, write: Write) -> None:
        """Start it. Raises EngineError if the node does not run."""
        rows = questions.on_node(lab.topology, lab.topology.node(node))
        configuration = agent_config.configuration(rows, attached=True)
        container = lab.node(node).container
        conversation = lab.engine.follow(container, own_probe(configuration, PROGRAM))
        now = time.monotonic() - begin
        write(Event(now, "instrument", row.instrument()) for row in rows)
        self._listener = Listener(conversation, begin, write, dict)

    @property
    def alive(self) -> bool:
        """Whether it samples."""
        return self._listener.alive

    @property
    def sampled(self) -> bool:
        """Whether it has sampled."""
        return self._listener.last > 0

    @property
    def complaint(self) -> str:
        """Why it ended, in a line."""
        return complaint(self._listener)

    def stop(self) -> None:
        """End it."""
        self._listener.join(0.0)
