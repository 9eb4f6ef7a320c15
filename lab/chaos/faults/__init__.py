"""Faults: what halab breaks on purpose. One file for each kind: inject, show the effect, heal.

A fault remembers nothing itself: before it acts, its record is written to the node that it hits
(lab/live/active_faults.py), and healing reads it there. So any later process can heal it, even
after `kill -9`. Healing twice is the same as healing once.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from lab.chaos.fault import Fault


def names() -> tuple[str, ...]:
    """Return every fault's name."""
    return tuple(sorted(all_faults()))


def all_faults() -> dict[str, Fault]:
    """Return each module's FAULTS, by name: the folder is the list."""
    known: dict[str, Fault] = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for fault in getattr(loaded, "FAULTS", ()):
            known[fault.name] = cast("Fault", fault)
    return known


def find(name: str) -> Fault:
    """Return a fault by its name. Raises KeyError if there is none."""
    return all_faults()[name]
