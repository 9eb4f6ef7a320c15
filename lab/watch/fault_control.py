"""What the keys and the page of a watch do to a lab: inject a fault, heal all. One thing at a time.

A watch without it only asks.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import LabError
from lab.chaos.healing import Healer
from lab.chaos.injector import Injector

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.chaos.lab_faults import LabFaults

LOG = logging.getLogger("halab.watch")
SEEDS = 2**31


@dataclass(slots=True)
class FaultControl:
    """Injects and heals in a thread of its own, and says what it does."""

    faults: LabFaults
    message: str = ""
    """What is being done, or what the last one did, or why not."""
    _injected: set[str] = field(default_factory=set)
    _thread: threading.Thread | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def left(self) -> tuple[str, ...]:
        """The faults that were injected here and not healed here."""
        return tuple(sorted(self._injected))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The machines of the lab that a fault can hit."""
        return tuple(node.name for node in self.faults.lab.topology.machines)

    def inject(self, fault: str, target: str) -> bool:
        """Begin to inject a fault; return False if something is being done already."""
        return self._begin(f"{fault} at {target}", lambda: self._inject(fault, target))

    def heal(self) -> bool:
        """Begin to heal all faults; return False if something is being done already."""
        return self._begin("healing", self._heal)

    def wait(self) -> None:
        """Wait until nothing is being done: half an injection would stay in the lab."""
        if self._thread:
            self._thread.join()

    def _begin(self, what: str, act: Callable[[], str]) -> bool:
        with self._turn:  # keys and pages may come at once
            if self.busy:
                return False
            self.message = f"{what} …"
            self._thread = threading.Thread(
                target=self._act, args=(what, act), name="halab-fault-control"
            )
            self._thread.start()
            return True

    def _act(self, what: str, act: Callable[[], str]) -> None:
        try:
            self.message = act()
        except LabError as error:
            self.message = f"{what}: {error.message}"
        except Exception as error:  # nobody else would say how this thread has ended
            LOG.debug("%s", what, exc_info=True)
            self.message = f"{what}: a bug: {type(error).__name__}: {error}"

    def _inject(self, fault: str, target: str) -> str:
        seed = random.randrange(SEEDS)  # noqa: S311 (a die)
        nodes = self.faults.targets(target, seed)
        effects = Injector(self.faults).inject(fault, nodes, {})
        self._injected |= {f"{fault} at {node}" for node in nodes}
        rows = (f"{one.active.fault} at {one.active.node}: {one.evidence}" for one in effects)
        return "; ".join(rows)

    def _heal(self) -> str:
        healer = Healer(self.faults)
        healed = healer.heal(None)
        self._injected.clear()
        healer.rejoin(healed, self._tell_progress)
        rows = [f"{each.fault} at {each.node}" for each in healed]
        return f"healed {', '.join(rows)}" if rows else "no fault is on"

    def _tell_progress(self, detail: str) -> None:
        self.message = f"healing … {detail}"
