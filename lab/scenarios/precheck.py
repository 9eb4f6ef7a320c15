"""A scenario is checked against a lab before anything is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.addons import manager
from lab.base.errors import InputError
from lab.base.suggest import did_you_mean
from lab.chaos import targets
from lab.chaos.lab_faults import find, options_of

if TYPE_CHECKING:
    from lab.live.lab import Lab
    from lab.topology.scenario_file import Scenario, Step


def check(scenario: Scenario, lab: Lab) -> None:
    """Check what the loader cannot know: faults, their options, targets, names of writes.

    Raises InputError with the step's line.
    """
    _check_writes(scenario)
    for step in scenario.steps:
        try:
            _check_step(step, lab)
        except InputError as error:
            raise InputError(f"{scenario.path}:{step.line}: {error.message}", error.hint) from None


def _check_writes(scenario: Scenario) -> None:
    """Refuse an expectation about writes that nobody makes: a run would end as unknown."""
    names = [row.name for row in scenario.user_writes]
    for each in scenario.expect:
        if each.name == "lost_writes" and each.argument and each.argument not in names:
            hint = did_you_mean(each.argument, names) if names else "add it under `writes:`"
            what = f"{scenario.path}: `{each.text}`: no writes are named `{each.argument}`"
            raise InputError(what, hint)


def _check_step(step: Step, lab: Lab) -> None:
    faults = [(step.value, step.target, step.options)] if step.verb == "fault" else []
    if step.verb == "random":
        faults = [parse_random(text) for text in step.items]
    for name, target, options in faults:
        options_of(find(name), options)
        targets.check(target, lab.topology)
    if step.verb in {"exec", "power"}:
        targets.check(step.target, lab.topology)
    if step.verb == "stop" or (step.verb == "start" and step.value != "all"):
        targets.check(step.value, lab.topology)
    if step.verb == "heal" and step.value != "all":
        find(step.value)
    if step.verb == "addon":
        manager.known(step.value)


def parse_random(text: str) -> tuple[str, str, dict[str, str]]:
    """Return the parts of `FAULT TARGET [OPTION=VALUE]…`. Raises InputError."""
    name, _, rest = text.partition(" ")
    target, *options = rest.split() or [""]
    if not target or any("=" not in option for option in options):
        raise InputError(
            f"`{text}` is not `FAULT TARGET [OPTION=VALUE]…`",
            'for example "loss role:worker percent=5"',
        )
    return name, target, dict(option.split("=", 1) for option in options)
