"""The agent's configuration: identities and probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.kube.pki import issue
from lab.measure.probe import API, ETCD, ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.kube.secrets import Secrets
    from lab.nodes.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Identities:
    """The agent's certificates, as its configuration has them."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)


def identities(secrets: Secrets, distribution: Distribution) -> Identities:
    """Return the agent's certificates: the administrator's for the API, a client's for etcd.

    Both require one in every distribution.
    """
    admin = distribution.admin(secrets)
    member = issue(secrets.authority("etcd-ca"), "halab-probe")
    trust = {
        API: (distribution.server_authority(secrets), admin),
        ETCD: (secrets.files["etcd-ca.crt"], member),
    }
    return Identities(
        {
            name: {
                "ca": ca.decode(),
                "certificate": own.certificate.decode(),
                "key": own.key.decode(),
            }
            for name, (ca, own) in trust.items()
        }
    )


def configuration(
    chosen: Iterable[ProbeSpec],
    own: Identities | None = None,
    *,
    attached: bool = False,
    output: str = "",
) -> dict[str, Any]:
    """Return the agent's configuration for these probes."""
    rows = list(chosen)
    return {
        "attached": attached,
        "output": output,
        "identities": own.values if own else {},
        "questions": [row.agent() for row in rows if not row.client],
        "clients": [row.agent() for row in rows if row.client],
    }
