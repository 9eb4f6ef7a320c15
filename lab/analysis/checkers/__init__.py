"""Checkers: what a run's history proves.

One file for each verdict, each a pure function of the history, so an old run can be judged anew.

A verdict is pass, fail or unknown. Too few samples, or an instrument that stalled, is unknown: what
was not looked at is never a pass.
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
        """Judge a run. Pure; raises nothing for any history."""


def names() -> tuple[str, ...]:
    """The folder is the list."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Checker:
    """Return the checker of that name. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(name)
    return cast("Checker", importlib.import_module(f"{__name__}.{name}").CHECKER)
