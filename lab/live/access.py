"""What it takes to speak to a lab's API as its administrator: a value that is made once and handed on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.kube import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.kube.api import Cluster
    from lab.kube.pki import Pair, Secrets
    from lab.nodes.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Credentials:
    """What does not change as long as a lab lives: by which authority it is known, and as whom."""

    authority: bytes
    """The certificate (PEM) that the API's server certificate is checked against."""
    admin: Pair

    @classmethod
    def of_secrets(cls, distribution: Distribution, secrets: Secrets) -> Credentials:
        """Return those that a lab's secrets give."""
        return cls(distribution.server_authority(secrets), distribution.admin(secrets))


@dataclass(frozen=True, slots=True)
class Access:
    """The way to a lab's API: through the load balancer's port on this host, as the administrator."""

    distribution: Distribution
    credentials: Credentials
    port: int
    """The host's port of the load balancer, on loopback."""

    @property
    def server(self) -> str:
        """Return the API's URL."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, lab: str) -> dict[str, Any]:
        """Return the lab's kubeconfig as a mapping."""
        own = self.credentials
        return kubeconfig.build(lab, self.server, own.authority, own.admin)

    @contextlib.contextmanager
    def cluster(self) -> Iterator[Cluster]:
        """Lend the cluster's API; its connections end with the block."""
        # Imported late: the library takes a quarter of a second, beside which nodes can be asked.
        from lab.kube.api import Cluster

        cluster = Cluster(self.server, self.credentials.authority, self.credentials.admin)
        try:
            yield cluster
        finally:
            cluster.close()
