"""Removing a lab: everything with its label, and this user's files of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import ApplyError, InUse, LabError, WaitTimeout
from lab.base.locks import Lock, exclusive
from lab.base.wait import Observation, until
from lab.lifecycle import plan
from lab.lifecycle.apply import Applier

if TYPE_CHECKING:
    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.spec import Observed
    from lab.lifecycle.plan import Plan

LATE_S, LATE_EVERY_S = 60.0, 0.5
"""The engine finishes making a container whose maker was killed, and lists it only then.

Until then it holds its volumes: they are "in use" by a container that is not listed. Making one
takes a busy engine some seconds; a minute is far more than was ever seen.
"""

SETTLE_S = 3.0
"""For how long a half-made lab is looked for again once nothing of it is left.

Nothing else shows a container without volumes that the engine is still making.
"""


def destroy(engine: Engine, name: str, reporter: Reporter) -> Plan:
    """Remove everything with a lab's label; return what was removed.

    Needs no topology, so that a half-made lab goes, too. Raises InputError for what is no lab's
    name.
    """
    with exclusive(name, reporter) as lock:
        steps = _remove_all(engine, name, reporter)
        for ending in ("kubeconfig", "run", "lock"):  # the last: an older halab's
            paths.of_lab(name, ending).unlink(missing_ok=True)
        # A new lab of that name must not go on in the middle of a lesson.
        for progress in paths.state().glob(f"{name}.*.lesson.json"):
            progress.unlink(missing_ok=True)
        for kind in ("run", "lesson"):
            Lock(name, kind).forget()
        lock.forget()
        return steps


def _remove_all(engine: Engine, name: str, reporter: Reporter) -> Plan:
    """Remove what has the lab's label until nothing has; return what there was at first."""
    observed = engine.observe(name)
    first = left = plan.destroy(observed)
    if first.empty:
        return first
    settled = time.monotonic() + (SETTLE_S if _half_made(observed) else 0)

    def remove() -> Observation:
        nonlocal left
        try:
            Applier(engine, reporter, "").remove(left)
        except LabError as error:
            if not _only_in_use(error):
                raise
            return Observation(ok=False, detail=error.message)
        finally:
            left = plan.destroy(engine.observe(name))
        names = ", ".join(step.subject for step in left.steps)
        return Observation(ok=left.empty and time.monotonic() >= settled, detail=names)

    what = f"nothing of lab {name} is left"
    try:
        until(what, remove, timeout_s=LATE_S, every_s=LATE_EVERY_S)
    except WaitTimeout as error:
        # An engine may forget a container and keep its place in a network (seen with Docker 20.10,
        # whose restart gave it up).
        hint = (
            "`docker ps -a` shows who has it: remove that, or restart Docker if nobody has it;"
            f" then `halab destroy {name}` again"
        )
        raise WaitTimeout(what, error.seconds, error.last, hint) from None
    return first


def _half_made(observed: Observed) -> bool:
    """Whether a start ended before it had booted all machines, as far as the engine shows."""
    if not observed.containers:
        return bool(observed.volumes or observed.networks)
    return any(container.state == "created" for container in observed.containers)


def _only_in_use(error: LabError) -> bool:
    errors = error.errors if isinstance(error, ApplyError) else (error,)
    return all(isinstance(one, InUse) for one in errors)
