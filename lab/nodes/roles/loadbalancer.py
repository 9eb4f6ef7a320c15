"""The load balancer: nginx in front of all masters, and the one node with a port on the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.engine.files import File, unit_links
from lab.nodes.distributions import HEALTH_USER
from lab.nodes.ha import nginx
from lab.nodes.roles import Traits
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Node, Topology

CA_FILE = "/etc/halab/ca.crt"
"""The API's authority, so that `curl --cacert` on the load balancer can prove whom it speaks to."""
HEALTH = "/etc/halab/health"
"""With `.crt` and `.key`: the certificate with which halab-balance asks for /readyz.

K3s refuses anonymous requests. A lab that was made before there was a certificate keeps its
balancer of that time, which asks without one.
"""


@dataclass(frozen=True, slots=True)
class Balancer:
    """The role that passes connections on to the masters."""

    traits: Traits = field(default=Traits(sysctls=nginx.SYSCTLS), init=False)

    def image(self, distribution: Distribution) -> str:
        """Return the load balancer's own image."""
        del distribution
        return "loadbalancer"

    def volumes(self, node: Node, distribution: Distribution) -> dict[str, str]:
        """Return no volumes: the load balancer keeps nothing."""
        del node, distribution
        return {}

    def files(
        self, topology: Topology, node: Node, secrets: Secrets, distribution: Distribution
    ) -> tuple[File, ...]:
        """Return nginx's configuration, and what halab-balance needs to ask masters for /readyz.

        That program is images/loadbalancer's: it takes masters that cannot serve out of the list.
        """
        del node
        masters = "".join(
            f"{master.name} {master.ip} {KUBERNETES_PORT}\n" for master in topology.masters
        )
        health = distribution.client(secrets, HEALTH_USER)
        return (
            File(path="/etc/nginx/nginx.conf", content=nginx.conf(topology).encode()),
            File(path=nginx.UPSTREAM, content=nginx.upstream(topology).encode()),
            File(path="/etc/halab/masters", content=masters.encode()),
            File(path=CA_FILE, content=distribution.server_authority(secrets)),
            File(path=f"{HEALTH}.crt", content=health.certificate),
            File(path=f"{HEALTH}.key", content=health.key, mode=0o600),
            *unit_links("/usr/lib/systemd/system/nginx.service", "halab-balance.service"),
        )

    def ports(self, topology: Topology) -> dict[int, int]:
        """Return the API's port, where kubeconfigs point."""
        return {KUBERNETES_PORT: topology.loadbalancer.host_port}


ROLE = Balancer()
