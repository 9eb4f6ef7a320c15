"""Removing a lab: all that bears its label, and this user's files of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import data, plan
from lab.apply import Applier
from lab.locks import Lock, exclusive

if TYPE_CHECKING:
    from lab.engine import Engine
    from lab.plan import Plan
    from lab.reporter import Reporter


def destroy(engine: Engine, name: str, reporter: Reporter) -> Plan:
    """Remove everything that bears a lab's label; gives what was removed.

    Needs no topology, so that a half-made lab goes, too. Raise InputError for no lab's name.
    """
    with exclusive(name, reporter) as lock:
        steps = plan.destroy(engine.observe(name))
        Applier(engine, reporter, "").remove(steps)
        left = plan.destroy(engine.observe(name))
        if not left.empty:
            Applier(engine, reporter, "").remove(left)
        for ending in ("kubeconfig", "run", "lock"):  # the last: where locks were once
            data.of_lab(name, ending).unlink(missing_ok=True)
        Lock(name, "run").forget()
        lock.forget()
        return steps
