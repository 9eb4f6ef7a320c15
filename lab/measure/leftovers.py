"""Removes the instrument from a lab: its agent, its namespace, its files on the nodes.

A run removes its own. What a killed run left goes on asking, at a quarter of a core in the
reference lab, until somebody removes it: the next run, or `halab fault heal`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from lab.base.errors import EngineError
from lab.base.locks import Lock
from lab.engine.labels import LABEL_INSTRUMENT
from lab.measure import connection_trace, target_service

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.live.lab import Lab


def remove(lab: Lab, say: Callable[[str], None]) -> None:
    """Remove the agents, the namespace, and the nodes' traces and files of this lab's runs.

    Raises LabError if the cluster does not answer; the nodes' part is done even then.
    """
    engine = lab.engine
    for container in agents(lab):
        engine.remove_container(container)
    try:
        with lab.cluster() as cluster:
            target_service.remove(cluster, say)
    finally:
        for node in lab.topology.nodes:
            # A node that does not run keeps its files until a start of the instrument finds it
            # running.
            with contextlib.suppress(EngineError):
                lab.node(node.name).run(["sh", "-c", connection_trace.STOP], check=False)


def remove_of_dead_runs(lab: Lab, say: Callable[[str], None]) -> bool:
    """Remove what killed runs left, unless a run goes on; return whether there was anything.

    Raises LabError if the cluster does not answer.
    """
    lock = Lock(lab.name, "run")
    if not lock.acquire():
        return False
    try:
        if not _left(lab):
            return False
        say("removing what a killed run left")
        remove(lab, say)
    finally:
        lock.release()
    return True


def agents(lab: Lab) -> list[str]:
    """Return the containers of this lab's agents, whether they run or not."""
    containers, _, _ = lab.engine.labelled(LABEL_INSTRUMENT)
    return [container for container in containers if lab.engine.owner(container) == lab.name]


def _left(lab: Lab) -> bool:
    if agents(lab):
        return True
    with lab.cluster() as cluster:
        return target_service.exists(cluster)
