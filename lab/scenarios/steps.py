"""The steps of a scenario, by the verbs of its file. Each returns the detail for the history."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from lab.addons import manager
from lab.base.wait import until
from lab.lifecycle.start import start, start_node
from lab.lifecycle.stop import stop
from lab.live import steady_state
from lab.live.power import press
from lab.scenarios.precheck import parse_random

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.base.wait import Observation
    from lab.live.lab import Lab
    from lab.scenarios.context import RunContext
    from lab.topology.scenario_file import Step


def carry_out(run: RunContext, step: Step) -> str:
    """Carry out a step; return the detail for the history. Raises LabError."""
    return STEPS[step.verb](run, step) or ""


def _fault(run: RunContext, step: Step) -> str:
    active = run.inject(step.value, step.target, step.options)
    if step.hold_ms:
        run.sleep(step.hold_ms / 1000)
        run.heal(active)
    return ", ".join(one.node for one in active)


def _heal(run: RunContext, step: Step) -> None:
    run.heal([one for one in run.faults.active() if step.value in {"all", one.fault}])


def _wait(run: RunContext, step: Step) -> None:
    run.sleep(step.for_ms / 1000)


def _until(run: RunContext, step: Step) -> str:
    steady = step.value == "steady"
    observe = run.steady if steady else partial(CONDITIONS[step.value], run.lab)
    return until(
        f"lab {run.lab.name}: {step.value}",
        observe,
        timeout_s=step.timeout_ms / 1000,
        on_change=run.say,
        cancelled=run.cancelled,
    ).detail


def _exec(run: RunContext, step: Step) -> str:
    outputs = [
        run.lab.node(name).run(step.items, timeout_s=step.timeout_ms / 1000).output
        for name in run.targets(step.target)
    ]
    return "\n".join(output.strip() for output in outputs)


def _power(run: RunContext, step: Step) -> str:
    return "; ".join(press(run.lab, name, step.value) for name in run.targets(step.target))


def _start(run: RunContext, step: Step) -> str:
    if step.value == "all":
        start(run.lab, timeout_s=step.timeout_ms / 1000)
        return "started"
    for name in run.targets(step.value):
        start_node(run.lab, name)
    return "started"


def _stop(run: RunContext, step: Step) -> str:
    names = run.targets(step.value)
    stop(run.lab, *names)
    return ", ".join(names)


def _addon(run: RunContext, step: Step) -> str:
    with manager.open_manager(run.lab) as addons:
        outcome = addons.enable(step.value)
    return f"{outcome.seen} (after {outcome.seconds:.0f} s)"


def _ceph(run: RunContext, step: Step) -> str:
    return run.ceph.run(step.value, step.timeout_ms / 1000)


def _random(run: RunContext, step: Step) -> str:
    """Inject faults of the list one after the other; after each, the lab must become steady."""
    end, number = time.monotonic() + step.for_ms / 1000, 0
    while time.monotonic() < end and not run.cancelled.is_set():
        number += 1
        fault, target, options = parse_random(run.dice.choice(step.items))
        run.step(
            f"random {number}",
            f"{fault} at {target}",
            partial(_one_random, run, step, fault, target, options),
        )
        run.sleep(step.pause_ms / 1000)
    return f"{number} faults"


def _one_random(
    run: RunContext, step: Step, fault: str, target: str, options: dict[str, str]
) -> str:
    active = run.inject(fault, target, options)
    run.sleep(step.hold_ms / 1000)
    run.heal(active)
    return until(
        "steady after the fault",
        run.steady,
        timeout_s=run.steady_timeout_s,
        on_change=run.say,
        cancelled=run.cancelled,
    ).detail


STEPS: dict[str, Callable[[RunContext, Step], str | None]] = {
    "fault": _fault,
    "heal": _heal,
    "wait": _wait,
    "until": _until,
    "exec": _exec,
    "power": _power,
    "start": _start,
    "stop": _stop,
    "addon": _addon,
    "ceph": _ceph,
    "random": _random,
}
"""Verb → step; the verbs are those of topology/scenario_file.py."""
CONDITIONS: dict[str, Callable[[Lab], Observation]] = {
    "ready": steady_state.all_ready,
    "noticed": steady_state.losses_noticed,
    "vip": steady_state.one_vip_holder,
    "quorum": steady_state.quorum,
    "no-quorum": steady_state.no_quorum,
}
"""What `until` waits for, besides `steady`, which includes Pacemaker's audit."""
