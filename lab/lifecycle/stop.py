"""`halab stop`: machines are shut down, their disks stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.base.locks import exclusive
from lab.lifecycle import plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action, Plan

if TYPE_CHECKING:
    from lab.live.lab import Lab


def stop(lab: Lab, *nodes: str) -> Plan:
    """Shut down the named nodes, or all; return what was done.

    Raises InputError for a name that the lab does not have.
    """
    for name in nodes:
        lab.node(name)
    with exclusive(lab.name, lab.reporter):
        steps = plan.stop(lab.observe(), nodes)
        Applier(lab.engine, lab.reporter, "").stop(lab.name, steps.subjects(Action.STOP))
        return steps
