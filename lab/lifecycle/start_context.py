"""What the steps of one start share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.lifecycle.boot import Boot

if TYPE_CHECKING:
    from lab.base.profile import Profile
    from lab.engine.spec import Desired, Observed
    from lab.images.builder import Builder
    from lab.kube.secrets import Secrets
    from lab.lifecycle.apply import Applier
    from lab.lifecycle.plan import Plan
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.live.snapshots import Snapshot
    from lab.live.status import LabStatus
    from lab.nodes.distributions import Distribution

START_TIMEOUT_S = 300
"""A 3m3w lab is ready in some 25 s on two cores.

Ten times that is a machine in trouble, and CI must not hang on it.
"""


@dataclass(slots=True)
class Context:
    """What the steps of one start share.

    A field without a value is set by the step that its comment names. To read it before that step
    is a bug: it raises AttributeError.
    """

    lab: Lab
    observed: Observed
    """What the engine held of the lab when the start began."""
    builder: Builder
    applier: Applier
    """Makes things, and takes them back."""
    preferred: str = ""
    """The distribution that the caller insists on; empty: the topology decides."""
    node: str = ""
    """The one node to start; empty: all."""
    timeout_s: float = START_TIMEOUT_S
    profile: Profile | None = None
    """Hears how long each step takes, if that is asked for."""
    snapshot: Snapshot | None = None
    """What nodes are made from instead of their distribution's image."""
    why_not: tuple[str, ...] = ()
    """A sentence for each distribution that was preferred but was not available."""
    since: float = field(default_factory=time.time)
    """When machines began to be powered on (POSIX time)."""
    distribution: Distribution = field(init=False, repr=False)
    """Set by `choose_distribution` or `keep_distribution`."""
    desired: Desired = field(init=False, repr=False)
    """What the engine should hold; set by `describe`."""
    plan: Plan = field(init=False, repr=False)
    """What is to be done; set by `compare`."""
    secrets: Secrets | None = None
    """Set by `make_machines` if something boots for the first time; nothing else needs them."""
    access: Access | None = None
    """The way to the API; set by `find_access` or `await_lab`. None if no cluster is awaited."""
    status: LabStatus | None = None
    """Set by `await_lab` if an unchanged lab worked at once."""

    @property
    def boot(self) -> Boot:
        """Return what makes and boots machines."""
        lab = self.lab
        return Boot(
            lab.engine,
            lab.topology,
            self.distribution,
            self.applier,
            self.observed,
            self.snapshot,
        )
