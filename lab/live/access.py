"""What it takes to use a lab's API as its administrator: a value, made once and handed on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.kube import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.kube.api import KubeApi
    from lab.kube.secrets import Pair, Secrets
    from lab.nodes.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Credentials:
    """What stays as long as a lab lives: the API's authority, and the administrator's identity."""

    authority: bytes
    """The certificate (PEM) that signs the API's server certificate."""
    admin: Pair

    @classmethod
    def of_secrets(cls, distribution: Distribution, secrets: Secrets) -> Credentials:
        """Return the credentials in a lab's secrets."""
        return cls(distribution.server_authority(secrets), distribution.admin(secrets))


@dataclass(frozen=True, slots=True)
class Access:
    """The way to a lab's API: through the load balancer's port on this host, as administrator."""

    distribution: Distribution
    credentials: Credentials
    port: int
    """The load balancer's port on the host's loopback."""

    @property
    def server(self) -> str:
        """The API's URL."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, lab: str) -> dict[str, Any]:
        """Return the lab's kubeconfig as a mapping."""
        own = self.credentials
        return kubeconfig.build(lab, self.server, own.authority, own.admin)

    @contextlib.contextmanager
    def cluster(self) -> Iterator[KubeApi]:
        """Yield a client of the API, which is closed at the end of the block."""
        # Imported late: the library takes a quarter of a second, in which nodes can be asked.
        from lab.kube.api import KubeApi

        cluster = KubeApi(self.server, self.credentials.authority, self.credentials.admin)
        try:
            yield cluster
        finally:
            cluster.close()
