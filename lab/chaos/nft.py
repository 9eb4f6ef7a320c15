"""What faults share that drop at a machine's wire: laid down, knocked at, counted, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.chaos import wire
from lab.chaos.fault import Base, same_life
from lab.chaos.qdisc import DEVICE

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.chaos.wire import Drop
    from lab.live.active_faults import ActiveFault, Options


def table(active: ActiveFault) -> str:
    """Name the fault's own table."""
    return f"halab_{active.id}"


def fire(
    site: FaultSite,
    active: ActiveFault,
    rules: str,
    knocks: list[str],
    device: str = DEVICE,
) -> str:
    """Lay rules down (for nft, or none), knock at them, and look whether they have dropped something.

    One command, as each costs the engine 50 ms or more.
    """
    means = active.before.get("means", "nft")
    knock = " ".join(f"{word} >/dev/null 2>&1 &" for word in knocks)
    look, counted = wire.shown(means, table(active), device), wire.COUNTED[means]
    seen = f"{look} | tr '\\n' ' ' | grep -q '{counted}'"
    wait = f"for _ in 1 2 3 4 5 6 7 8 9 10; do {seen} && break; sleep 0.01; done; {look}"
    script = f"{wire.laid(means, device)} && {{ {knock} {wait}; }}"
    return wire.dropped(site, site.node.run(["sh", "-c", script], stdin=rules.encode()).output)


class Rules(Base):
    """Faults that drop at the wire; what the kernel counts there is their proof."""

    needs = "nft on the node, or tc's clsact with bpf in the kernel"

    def missing(self, site: FaultSite) -> str:
        """One of the two means must be there."""
        return wire.missing(site)

    def device(self, options: Options) -> str:
        """Return the interface that is meant."""
        del options
        return DEVICE

    def drops(self, site: FaultSite, active: ActiveFault) -> list[Drop]:
        """Return what is dropped."""
        raise NotImplementedError

    def rules(self, site: FaultSite, active: ActiveFault) -> str:
        """Return the rules as nft or tc reads them."""
        drops, device = self.drops(site, active), self.device(active.options)
        if active.before.get("means", "nft") == "tc":
            return wire.batch(drops, device)
        return wire.tables(table(active), drops, device)

    def evidence(self, site: FaultSite, active: ActiveFault) -> str:
        """The kernel has counted."""
        look = wire.shown(
            active.before.get("means", "nft"), table(active), self.device(active.options)
        )
        return wire.dropped(site, site.node.run(look.split(), check=False).output)

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Remove the rules."""
        if same_life(site, active):
            script = wire.removed(table(active), self.device(active.options))
            site.node.run(["sh", "-c", script])
