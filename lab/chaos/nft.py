"""What faults that drop packets at a machine's wire share: rules, evidence, healing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.chaos import wire
from lab.chaos.fault import Base, same_life
from lab.chaos.qdisc import DEVICE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.chaos.fault import FaultSite
    from lab.chaos.wire import Drop
    from lab.live.active_faults import ActiveFault, Options


def table(active: ActiveFault) -> str:
    """Return the name of the fault's own table."""
    return f"halab_{active.id}"


def fire(
    site: FaultSite,
    active: ActiveFault,
    rules: str,
    ping: str,
    addresses: Iterable[str],
    device: str = DEVICE,
) -> str:
    """Apply rules (for nft, or none), ping, and return the evidence that packets were dropped.

    `ping` is the command without the address. A quiet node would send nothing to be dropped for
    seconds. All in one script, as each command costs the engine 50 ms or more.
    """
    means = active.before.get("means", "nft")
    script = wire.FIRE[means]
    result = script.run(site.node, table(active), device, ping, *addresses, stdin=rules.encode())
    return wire.dropped(site, result.output)


class Rules(Base):
    """Faults that drop packets at the wire; what the kernel counts there is their evidence."""

    needs = "nft on the node, or tc's clsact with bpf in the kernel"

    def missing(self, site: FaultSite) -> str:
        """One of the two means must be there."""
        return wire.missing(site)

    def device(self, options: Options) -> str:
        """Return the interface at which packets are dropped."""
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
        means = active.before.get("means", "nft")
        show = wire.show_command(means, table(active), self.device(active.options))
        return wire.dropped(site, site.node.run(show, check=False).output)

    def heal(self, site: FaultSite, active: ActiveFault) -> None:
        """Remove the rules."""
        if same_life(site, active):
            wire.remove(site, table(active), self.device(active.options))
