"""Checkers: what a run's history proves, one file for each kind of verdict.

A checker is a pure function of the history, so an old run can be judged again. Too few samples, or
an instrument that stalled, make a verdict unknown: what was not looked at is never a pass.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from lab.analysis.history.events import History
    from lab.analysis.verdicts import Verdict


class Checker(Protocol):
    """One kind of verdict."""

    name: str
    summary: str
    """What it checks, in a sentence for people."""

    def check(self, history: History) -> Verdict:
        """Return the verdict on a run. Pure; raises nothing, whatever the history."""


def names() -> tuple[str, ...]:
    """Return the names of all checkers, sorted: the modules of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Checker:
    """Return the checker of that name. Raise KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Checker", importlib.import_module(f"{__name__}.{name}").CHECKER)
