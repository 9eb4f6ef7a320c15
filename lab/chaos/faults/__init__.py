"""Faults: what halab breaks on purpose. One file for each kind; inject, prove that it acts, heal.

A fault remembers nothing itself: before it acts, its record is laid down on the node that it hits
(lab/live/active_faults.py), and healing reads it there. So any later process can heal, after a
kill -9, too; healing twice is healing once.
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
    """The folder is the list: each module's FAULTS, by name."""
    found: dict[str, Fault] = {}
    for module in pkgutil.iter_modules(__path__):
        loaded = importlib.import_module(f"{__name__}.{module.name}")
        for fault in getattr(loaded, "FAULTS", ()):
            found[fault.name] = cast("Fault", fault)
    return found


def find(name: str) -> Fault:
    """Return a fault. Raises KeyError where there is none of that name."""
    return all_faults()[name]
