"""Does the API accept writes, and keep them.

ConfigMaps with unique values are created, rewritten and read, and all are read back at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.measure.probe import API, LABEL, REGISTERS, SPACE, ProbeSpec
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

CREATE_S = 0.1
"""Ten creates a second each way: each of them costs every master an fsync, on a disk that all nodes
of a lab share."""
REGISTER_S = 0.4
"""Each client of the registers writes or reads in turn, five operations in two seconds: enough to
overlap, few enough to be judged."""
CLIENTS = 2
"""Clients of the registers each way."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Creates and registers.

    Creates use new connections and are samples of `write.*` as well; registers use kept ones.
    """

    summary: str = "writes through VIP and load balancer, and whether they are all there at the end"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """Creates and registers through VIP and load balancer, and the list at the end.

        The list goes through the load balancer, which knows all masters.
        """
        topology = context.topology
        places = {"vip": str(topology.network.vip), "lb": str(topology.loadbalancer.ip)}
        creates = [_create(way, ip) for way, ip in places.items()]
        registers = [
            _register(f"register.{way}.{number}", ip)
            for way, ip in places.items()
            for number in range(1, CLIENTS + 1)
        ]
        final = ProbeSpec(name="final", settings=_settings("list", places["lb"]), client=True)
        return (*creates, *registers, final)


def _settings(kind: str, ip: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 (the agent's words)
    return {
        "kind": kind,
        "addresses": [f"{ip}:{KUBERNETES_PORT}"],
        "identity": API,
        "namespace": SPACE,
        "label": LABEL,
        **more,
    }


def _create(way: str, ip: str) -> ProbeSpec:
    name = f"write.{way}.new"
    text = f"create a ConfigMap through {ip}:{KUBERNETES_PORT} on a new connection each time"
    settings = _settings("create", ip, prefix=f"create-{way}")
    return ProbeSpec(
        name=name,
        settings=settings,
        question=text,
        interval=CREATE_S,
        connection="new",
        client=True,
        probe=name,
    )


def _register(name: str, ip: str) -> ProbeSpec:
    settings = _settings("register", ip, prefix=name.replace(".", "-"), keys=list(REGISTERS))
    return ProbeSpec(
        name=name, settings=settings, interval=REGISTER_S, connection="kept", client=True
    )


QUESTION = Writes()
