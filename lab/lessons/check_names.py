"""What checks may name: faults, scenarios, patterns and targets.

Besides a scenario's targets there are some for what was: a holder that died holds nothing now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.base.errors import InputError, WrongError
from lab.base.suggest import did_you_mean
from lab.chaos import faults, targets
from lab.lessons.schema import NOBODY, NONE
from lab.scenarios import catalog

if TYPE_CHECKING:
    from lab.lessons.model import LessonCheck
    from lab.topology.model import Topology

FORMER_HOLDER, FORMER_LEADER = "@former-holder", "@former-leader"
"""Who held the VIP, or led etcd, when a step last began on a whole lab."""
RUNNING_MASTER = "@running-master"
"""The first master that runs."""
OWN = (FORMER_HOLDER, FORMER_LEADER, RUNNING_MASTER)
VIP, LB = "vip", "lb"


def check(one: LessonCheck, topology: Topology | None) -> None:
    """Raise WrongError for a fault, scenario, target or pattern that cannot be meant."""
    if one.kind == "fault" and one.subject != NONE and one.subject not in faults.names():
        raise WrongError(f"has no fault `{one.subject}`", did_you_mean(one.subject, faults.names()))
    if one.kind == "scenario":
        check_scenario(one.subject)
    if "prints" in one.options:
        _check_pattern(one.options["prints"])
    if topology is not None:
        for target in _targets(one):
            check_target(target, topology)


def check_scenario(name: str) -> None:
    """Raise WrongError if no scenario of that name comes with halab."""
    if name not in catalog.shipped():
        raise WrongError(f"has no scenario `{name}`", did_you_mean(name, catalog.shipped()))


def check_target(listed: str, topology: Topology) -> None:
    """Raise WrongError if one of a comma-separated list is no target."""
    try:
        for target in listed.split(","):
            if target not in OWN:
                targets.check(target, topology)
    except InputError as error:
        raise WrongError(f"has {error.message}", error.hint) from None


def _targets(one: LessonCheck) -> list[str]:
    named = [one.options[key] for key in ("at", "away-from") if key in one.options]
    if one.kind == "node":
        named.append(one.subject)
    if one.kind == "fenced" and one.subject != NOBODY:
        named.append(one.subject)
    if one.kind == "api" and one.subject not in {VIP, LB}:
        named.append(one.subject)
    if one.kind == "answer" and one.options["is"].startswith("@"):
        named.append(one.options["is"])
    return named


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        hint = "Python's syntax; put a text with special characters in quotes"
        raise WrongError(f"has no regular expression `{pattern}`: {error}", hint) from None
