"""Traces which pods the askers' connections go to: conntrack, on each node whose pods ask.

It shows what an outage of a Service was: a dead pod, an answer that was lost, or no question at
all. On a node it is a systemd unit that writes beside the pods' samples. It ends with the
instrument (lab/measure/leftovers.py), by itself after two hours or 128 MiB, and with its node: it
does not begin again after a reboot. A node that cannot trace is left out, and the report names no
causes there. For outages after a trace's end it says only what the samples alone show.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.analysis.history.events import Event
from lab.base.errors import EngineError, LabError
from lab.engine.files import unpack
from lab.measure import connection_events, manifests
from lab.measure.connection_events import TracedAddress
from lab.measure.probes import service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.engine.node import NodeHandle
    from lab.kube.api import KubeApi
    from lab.measure.probe import ProbeContext

LOG = logging.getLogger("halab.trace")
UNIT = "halab-probe-trace.service"
LONGEST_S = 7200
"""For the trace of a killed run that nobody removed. A longer run goes untraced at its end."""
LARGEST = 128 << 20
"""Bytes. A Service's question leaves 1 kB in six lines, one of DNS a third of it: at 25 questions a
second of each this is an hour. conntrack takes 0.3 ms of a core for both (measured)."""
BUFFER = 2 << 20
"""Bytes of changes that the kernel keeps for conntrack while that gets no processor."""
START_S = 15.0
SERVICE, DNS = "service", "dns"
TRACE = f"""
file=$1; shift
for address; do
  conntrack -E -e NEW,UPDATES -o timestamp -b {BUFFER} -d "$address" >>"$file" 2>/dev/null &
done
wait
"""
"""Trace connections to each address into one file. conntrack filters by one address; it writes each
line at once and whole, so that two of them can share a file."""
START = f"""
command -v conntrack >/dev/null || exit 3
mkdir -p {manifests.FOLDER}
systemctl stop {UNIT} 2>/dev/null
exec systemd-run --quiet --collect --unit={UNIT} --description="halab connection trace" \\
  --property=RuntimeMaxSec={LONGEST_S} --property=LimitFSIZE={LARGEST} \\
  -- sh -c "$@"
"""
"""Start a script as the unit; its arguments follow. systemd replaces `${NAME}` in them, but leaves
`$NAME` inside a word alone (systemd.service(5), command lines)."""
STOP = f"systemctl stop {UNIT} 2>/dev/null; rm -rf {manifests.FOLDER}"
"""End the trace, if there is one, and remove what all runs measured on this node."""


def addresses(context: ProbeContext) -> tuple[TracedAddress, ...]:
    """Return the traced addresses: the test Service's, and DNS's."""
    dns = str(context.topology.kubernetes.cluster_dns)
    return (
        TracedAddress(SERVICE, context.service_ip, service.PORT, "tcp"),
        TracedAddress(DNS, dns, 53, "udp"),
    )


@dataclass(slots=True)
class ConnectionTraces:
    """The traces of one run."""

    nodes: Sequence[NodeHandle]
    run: str
    addresses: tuple[TracedAddress, ...]
    _traced: list[NodeHandle] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The file of a trace, on each node."""
        return f"{manifests.FOLDER}/{self.run}.trace"

    def start(self, cluster: KubeApi, t: float) -> list[Event]:
        """Start the traces, at `t` of the run; return an event for each node that can trace.

        Raises LabError if the API does not say which node has which pods' addresses.
        """
        with ThreadPoolExecutor(4) as pool:
            began = list(pool.map(self._start, self.nodes))
        self._traced = [node for node, good in zip(self.nodes, began, strict=True) if good]
        objects = cluster.nodes() if self._traced else {}
        pods = {name: item["spec"].get("podCIDR", "") for name, item in objects.items()}
        about = {"state": "begin", "pods": pods}
        return [Event(t, "trace", {"node": node.name, **about}) for node in self._traced]

    def _start(self, node: NodeHandle) -> bool:
        """Start one node's trace; return whether it began."""
        script = [TRACE, "trace", self.path, *(each.ip for each in self.addresses)]
        try:
            result = node.run(["sh", "-c", START, "start", *script], timeout_s=START_S, check=False)
        except LabError as error:
            LOG.debug("%s: no trace: %s", node.name, error.message)
            return False
        if result.code != 0:
            LOG.debug("%s: no trace: code %d: %s", node.name, result.code, result.output)
        return result.code == 0

    def read(self, shift: float, until: float) -> Iterator[Event]:
        """Yield the traced connections as events; the nodes need not run.

        `shift` and `until` are those of `connection_events.events`.
        """
        for node in self._traced:
            traced = connection_events.connections(self._lines(node), self.addresses)
            asked = connection_events.of_askers(traced, SERVICE)
            yield from connection_events.events(node.name, asked, shift, until)

    def _lines(self, node: NodeHandle) -> Iterable[str]:
        try:
            files = unpack(node.engine.read(node.container, self.path))
        except EngineError as error:
            LOG.debug("%s: its trace cannot be read: %s", node.name, error.message)
            return
        for content in files.values():
            yield from content.decode("ascii", errors="replace").splitlines()
