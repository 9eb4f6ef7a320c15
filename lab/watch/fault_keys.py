"""Faults by keys: `f`, a digit for the fault, a digit for where; `h` heals all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.watch.fault_control import FaultControl

FAULTS = ("crash", "power-cut", "hang", "partition", "loss", "vip-lost", "fencing-off")
"""Those that a lesson begins with, as many as a line of 80 columns holds; the page and `halab fault
inject` have all."""
TARGETS = ("@vip-holder", "@leader", "@random-worker")
"""Offered before the nodes; digits end at 9."""
MOST = 9
OPEN, HEAL = "f", "h"
KEYS = "f fault   h heal"


@dataclass(slots=True)
class FaultKeys:
    """What the keys have chosen so far."""

    control: FaultControl
    _open: bool = False
    _fault: str = ""

    @property
    def menu(self) -> str:
        """What may be chosen now; empty if nothing is."""
        if self._fault:
            return f"{self._fault} at: {_numbered(self._targets)}"
        return f"fault: {_numbered(FAULTS)}" if self._open else ""

    def press(self, key: str) -> bool:
        """Take a key; return whether it meant something here."""
        if self._open:
            self._choose(key)
        elif key == OPEN:
            self._open = not self.control.busy
        elif key == HEAL:
            self.control.heal()
        else:
            return False
        return True

    @property
    def _targets(self) -> tuple[str, ...]:
        return (*TARGETS, *self.control.nodes)[:MOST]

    def _choose(self, key: str) -> None:
        offered = self._targets if self._fault else FAULTS
        if not key.isdecimal() or not 1 <= int(key) <= len(offered):  # Escape, or any other key
            self._open, self._fault = False, ""
            return
        chosen = offered[int(key) - 1]
        if not self._fault:
            self._fault = chosen
            return
        self.control.inject(self._fault, chosen)
        self._open, self._fault = False, ""


def _numbered(names: tuple[str, ...]) -> str:
    return " ".join(f"{number} {name}" for number, name in enumerate(names, 1))
