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
    """Return who the agent is: the administrator for the API, a client for etcd.

    Every distribution asks both for certificates.
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
    proofs: Identities | None = None,
    *,
    attached: bool = False,
    output: str = "",
) -> dict[str, Any]:
    """Return the agent's configuration for these probes."""
    rows = list(chosen)
    return {
        "attached": attached,
        "output": output,
        "identities": proofs.values if proofs else {},
        "questions": [row.agent() for row in rows if not row.client],
        "clients": [row.agent() for row in rows if row.client],
    }
