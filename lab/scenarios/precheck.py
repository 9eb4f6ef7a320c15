"""A scenario judged against a lab before anything is broken: what the loader cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.addons import manager
from lab.base.errors import InputError
from lab.chaos import targets
from lab.chaos.lab_faults import find, options_of

if TYPE_CHECKING:
    from lab.live.lab import Lab
    from lab.topology.scenario_file import Scenario, Step


def check(scenario: Scenario, lab: Lab) -> None:
    """Judge what the loader cannot know: faults, their options, targets.

    Raises InputError that names the step's line.
    """
    for step in scenario.steps:
        try:
            _check_step(step, lab)
        except InputError as error:
            raise InputError(f"{scenario.path}:{step.line}: {error.message}", error.hint) from None


def _check_step(step: Step, lab: Lab) -> None:
    rows = [(step.value, step.target, step.options)] if step.verb == "fault" else []
    for name, target, options in map(parse_random, step.words) if step.verb == "random" else rows:
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
    """Read `FAULT TARGET [OPTION=VALUE]…`. Raises InputError."""
    name, _, rest = text.partition(" ")
    target, *given = rest.split() or [""]
    if not target or any("=" not in word for word in given):
        raise InputError(
            f"`{text}` is not `FAULT TARGET [OPTION=VALUE]…`",
            'for example "loss role:worker percent=5"',
        )
    return name, target, dict(word.split("=", 1) for word in given)
