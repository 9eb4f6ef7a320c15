"""What the agent is told: identities, probes, where to listen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.kube.pki import issue
from lab.measure.probe import API, ETCD, ProbeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Identities:
    """What the agent proves itself with, as its configuration has it."""

    values: dict[str, dict[str, str]] = field(default_factory=dict)


def identities(secrets: Secrets, distribution: Distribution) -> Identities:
    """Give the administrator's identity for the API, and a client's of etcd's authority: both distributions ask for certificates."""
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
    known: Identities | None = None,
    *,
    attached: bool = False,
    output: str = "",
) -> dict[str, Any]:
    """Give the agent's configuration for these rows."""
    asked = list(chosen)
    return {
        "attached": attached,
        "output": output,
        "identities": known.values if known else {},
        "questions": [row.agent() for row in asked if not row.client],
        "clients": [row.agent() for row in asked if row.client],
    }
