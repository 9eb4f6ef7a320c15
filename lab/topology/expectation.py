"""What a scenario expects, as written in a file: `outage(api.vip) <= 5s`, `not vip_unique`.

An expectation is a truth (`NAME`), its opposite (`not NAME`), or a measure with a comparison
(`NAME(PROBE) <= 5s`, `NAME == 0`). This file only parses them; lab/analysis/judge.py judges.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base import durations
from lab.base.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

TRUTHS = {
    "vip_unique": "never did two nodes answer for the VIP at once",
    "linearizable": "every read gave the newest value",
    "one_leader": "etcd never had two leaders in one term",
    "watch": "a watch saw every change once, in order",
    "steady": "all was well again at the end",
}
"""Truth → what it says. Each is the name of a checker."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that can be compared with a limit."""

    checker: str
    """The checker that measures it."""
    unit: str
    """`s`, or empty for a count."""
    summary: str
    argument: str = ""
    """What its brackets name, for people; empty if it takes no brackets."""
    optional: bool = False
    """Whether it may stand without brackets, too."""


MEASURES = {
    "outage": Measure("outage", "s", "the longest outage", "a probe, such as api.vip"),
    "outages": Measure("outage", "", "how many outages", "a probe, such as api.vip"),
    "unavailable": Measure("outage", "s", "all outages together", "a probe, such as api.vip"),
    "failover": Measure(
        "failover",
        "s",
        "from the fault to the end of a phase",
        "vip, leader, write, not_ready, or a probe",
    ),
    "lost_writes": Measure(
        "lost_writes",
        "",
        "acknowledged writes that are not there at the end",
        "one of the scenario's writes; without brackets the API's own",
        optional=True,
    ),
    "leader_changes": Measure("one_leader", "", "how often etcd's leader changed"),
    "vip_overlap": Measure("vip_unique", "s", "how long two nodes answered for the VIP"),
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
UNITS = (*durations.UNITS, "min")
_SHAPE = re.compile(
    r"(?P<name>[A-Za-z_][\w-]*)\s*(?:\((?P<argument>[^()]*)\))?\s*"
    r"(?:(?P<sign>[<>=!]{1,2})\s*(?P<limit>\S+))?"
)
_NUMBER = re.compile(rf"({durations.NUMBER})([a-z]*)")
_ARGUMENT = re.compile(r"[A-Za-z0-9_][\w.\-]*")


class ExpectationError(ValueError):
    """Text that is not an expectation: `message` says what is wrong, `hint` what to write.

    It has no file and line: the caller knows them.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message and the hint apart, for callers that report them apart."""
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Expectation:
    """One parsed expectation: a truth, or a measure with a comparison."""

    text: str
    """As written, with single spaces."""
    name: str
    """The truth's or measure's name."""
    argument: str = ""
    """The probe in the brackets; empty if there are none."""
    negated: bool = False
    """Only a truth can be."""
    sign: str = ""
    """The comparison; empty for a truth."""
    limit: float = 0.0
    """Seconds, or a count."""

    @property
    def checker(self) -> str:
        """The checker that decides it."""
        return MEASURES[self.name].checker if self.sign else self.name

    @property
    def figure(self) -> str:
        """The name of the figure to compare; empty for a truth."""
        if not self.sign:
            return ""
        return f"{self.name}({self.argument})" if self.argument else self.name

    def meaning(self) -> str:
        """Return what it says, in words for people."""
        if self.sign:
            return MEASURES[self.name].summary + (f" of {self.argument}" if self.argument else "")
        truth = TRUTHS[self.name]
        return f"it shall show that this is not so: {truth}" if self.negated else truth

    def holds(self, value: float) -> bool:
        """Whether a measured value (seconds, or a count) meets the comparison."""
        return COMPARISONS[self.sign](value, self.limit)


def parse(text: str) -> Expectation:
    """Parse one expectation. Raise ExpectationError if the text is not one."""
    normalized = " ".join(str(text).split())
    negated = normalized.startswith("not ")
    match = _SHAPE.fullmatch(normalized.removeprefix("not ").strip())
    if not match:
        raise ExpectationError(
            f"`{normalized[:80]}` is no expectation",
            "for example outage(api.vip) <= 5s, lost_writes == 0, vip_unique, not vip_unique",
        )
    name, argument, sign, limit = match["name"], match["argument"], match["sign"], match["limit"]
    if name in TRUTHS:
        return _truth(normalized, name, negated, argument, sign)
    if name not in MEASURES:
        raise ExpectationError(
            f"no expectation knows `{name[:40]}`", did_you_mean(name, (*TRUTHS, *MEASURES))
        )
    if negated:
        raise ExpectationError(
            f"`not` goes with a truth, and `{name}` is a measure",
            "turn the comparison round: > for <=",
        )
    if not sign:
        raise ExpectationError(
            f"`{name}` is compared with something", f"for example {_example(name, argument)}"
        )
    if sign not in COMPARISONS:
        raise ExpectationError(
            f"no comparison `{sign}`",
            "did you mean `==`?" if sign == "=" else f"known: {', '.join(COMPARISONS)}",
        )
    return Expectation(
        normalized, name, _argument(name, argument), sign=sign, limit=_limit(name, limit)
    )


def _truth(
    text: str,
    name: str,
    negated: bool,  # noqa: FBT001 (private, one call)
    argument: str | None,
    sign: str | None,
) -> Expectation:
    if sign or argument is not None:
        likely = {"vip_unique": "vip_overlap == 0", "one_leader": "leader_changes <= 3"}.get(
            name, f"`{name}` or `not {name}`"
        )
        raise ExpectationError(
            f"`{name}` is true or not: it has nothing to compare and no brackets", f"write {likely}"
        )
    return Expectation(text, name, negated=negated)


def _argument(name: str, argument: str | None) -> str:
    kind = MEASURES[name].argument
    probe = (argument or "").strip()
    if kind and not probe and not (MEASURES[name].optional and argument is None):
        raise ExpectationError(
            f"`{name}` of what?", f"brackets name {kind}: {_example(name, None)}"
        )
    if argument is not None and not kind:
        raise ExpectationError(f"`{name}` has no brackets", f"write {_example(name, None)}")
    if probe and not _ARGUMENT.fullmatch(probe):
        raise ExpectationError(
            f"`{probe[:40]}` is not the name of a probe", f"brackets name {kind}"
        )
    return probe


def _limit(name: str, text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if not match:
        raise ExpectationError(f"`{text[:40]}` is no number", f"for example {_example(name, None)}")
    number, unit = float(match[1]), match[2]
    if MEASURES[name].unit:
        amount = durations.milliseconds(text, UNITS)
        if amount is not None:
            return amount / 1000
        if not unit and number == 0:
            return 0.0
        raise ExpectationError(
            f"`{text[:40]}` has no unit of time" if not unit else f"no unit of time `{unit[:20]}`",
            "for example 500ms, 5s, 2m",
        )
    if unit or not number.is_integer():
        raise ExpectationError(
            f"`{name}` is a whole number, not `{text[:40]}`", f"for example {_example(name, None)}"
        )
    return number


def _example(name: str, argument: str | None) -> str:
    measure = MEASURES[name]
    probe = argument or ("vip" if name == "failover" else "api.vip")
    brackets = f"({probe})" if measure.argument and not measure.optional else ""
    if measure.unit:
        return f"{name}{brackets} <= 5s"
    return f"{name}{brackets} " + ("== 0" if name == "lost_writes" else "<= 3")
