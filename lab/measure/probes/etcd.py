"""What does each member of etcd believe: does it lead, and in which term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.measure.probe import ETCD, ProbeSpec

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext

PORT = 2379
MEMBER_S = 0.05
"""An election takes a second or more: twenty questions in it are enough."""


@dataclass(frozen=True, slots=True)
class Etcd:
    """Maintenance.Status of each member, which it answers alone, with or without a quorum."""

    summary: str = "each etcd member's own state: leader or not, term"

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """One for each master."""
        return tuple(
            ProbeSpec(
                name=f"etcd.{node.name}",
                settings={"kind": "etcd", "addresses": [f"{node.ip}:{PORT}"], "identity": ETCD},
                question=(
                    f"etcd's Maintenance.Status at {node.ip}:{PORT}: does it lead, in which term"
                ),
                interval=MEMBER_S,
                connection="kept",
            )
            for node in context.topology.masters
        )


QUESTION = Etcd()
