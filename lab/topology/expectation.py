"""What a scenario expects, as it is written in a file: `outage(api.vip) <= 5s`, `not vip_unique`.

An expectation is a truth, `not` and a truth, or a measure with a comparison: `WORD`, `not WORD`,
`WORD(WHAT) <= 5s`, `WORD == 0`. Reading only: lab/analysis/judge.py judges.
"""

from __future__ import annotations

import difflib
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TRUTHS = {
    "vip_unique": "never did two nodes answer for the VIP at once",
    "linearizable": "every read gave the newest value",
    "one_leader": "etcd never had two leaders in one term",
    "watch": "a watch saw every change once, in order",
    "steady": "all was well again at the end",
}
"""Word → what it says. Each is the name of a checker."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that can be compared: which checker measures it, its unit (`s`, or empty for a count), what stands in its brackets."""

    checker: str
    unit: str
    summary: str
    argument: str = ""
    """What its brackets name, for people; empty: it has none."""


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
    "lost_writes": Measure("lost_writes", "", "acknowledged writes that are not there at the end"),
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
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0}
_SHAPE = re.compile(
    r"(?P<word>[A-Za-z_][\w-]*)\s*(?:\((?P<argument>[^()]*)\))?\s*(?:(?P<sign>[<>=!]{1,2})\s*(?P<limit>\S+))?"
)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)")
_ARGUMENT = re.compile(r"[A-Za-z0-9_][\w.\-]*")


class ExpectationError(ValueError):
    """A text that is no expectation: `message` says what is wrong, `hint` what to write.

    The caller knows file and line.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep both."""
        super().__init__(f"{message} ({hint})" if hint else message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation. A truth has no comparison; `limit` is in seconds, or a count."""

    text: str
    word: str
    argument: str = ""
    negated: bool = False
    sign: str = ""
    limit: float = 0.0

    @property
    def checker(self) -> str:
        """The checker that knows."""
        return MEASURES[self.word].checker if self.sign else self.word

    @property
    def figure(self) -> str:
        """The name of the figure that is compared; empty for a truth."""
        if not self.sign:
            return ""
        return f"{self.word}({self.argument})" if self.argument else self.word

    def meaning(self) -> str:
        """Say it in words."""
        if not self.sign:
            return ("it shall show that this is not so: " if self.negated else "") + TRUTHS[
                self.word
            ]
        return MEASURES[self.word].summary + (f" of {self.argument}" if self.argument else "")

    def holds(self, value: float) -> bool:
        """Whether a value meets it."""
        return COMPARISONS[self.sign](value, self.limit)


def parse(text: str) -> Expectation:
    """Read an expectation. Raises ExpectationError."""
    words = " ".join(str(text).split())
    negated = words.startswith("not ")
    found = _SHAPE.fullmatch(words.removeprefix("not ").strip())
    if not found:
        raise ExpectationError(
            f"`{words[:80]}` is no expectation",
            "for example outage(api.vip) <= 5s, lost_writes == 0, vip_unique, not vip_unique",
        )
    word, argument, sign, limit = found["word"], found["argument"], found["sign"], found["limit"]
    if word in TRUTHS:
        return _truth(words, word, negated, argument, sign)
    if word not in MEASURES:
        raise ExpectationError(
            f"no expectation knows `{word[:40]}`", _close(word, (*TRUTHS, *MEASURES))
        )
    if negated:
        raise ExpectationError(
            f"`not` goes with a truth, and `{word}` is a measure",
            "turn the comparison round: > for <=",
        )
    if not sign:
        raise ExpectationError(
            f"`{word}` is compared with something", f"for example {_example(word, argument)}"
        )
    if sign not in COMPARISONS:
        raise ExpectationError(
            f"no comparison `{sign}`",
            "did you mean `==`?" if sign == "=" else f"known: {', '.join(COMPARISONS)}",
        )
    return Expectation(words, word, _argument(word, argument), sign=sign, limit=_limit(word, limit))


def _truth(
    words: str,
    word: str,
    negated: bool,  # noqa: FBT001 (private, one call)
    argument: str | None,
    sign: str | None,
) -> Expectation:
    if sign or argument is not None:
        likely = {"vip_unique": "vip_overlap == 0", "one_leader": "leader_changes <= 3"}.get(
            word, f"`{word}` or `not {word}`"
        )
        raise ExpectationError(
            f"`{word}` is true or not: it has nothing to compare and no brackets", f"write {likely}"
        )
    return Expectation(words, word, negated=negated)


def _argument(word: str, argument: str | None) -> str:
    wanted = MEASURES[word].argument
    given = (argument or "").strip()
    if wanted and not given:
        raise ExpectationError(
            f"`{word}` of what?", f"brackets name {wanted}: {_example(word, None)}"
        )
    if argument is not None and not wanted:
        raise ExpectationError(f"`{word}` has no brackets", f"write {_example(word, None)}")
    if given and not _ARGUMENT.fullmatch(given):
        raise ExpectationError(f"`{given[:40]}` is no name of a probe", f"brackets name {wanted}")
    return given


def _limit(word: str, text: str) -> float:
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ExpectationError(f"`{text[:40]}` is no number", f"for example {_example(word, None)}")
    number, unit = float(found[1]), found[2]
    if MEASURES[word].unit:
        if unit in UNITS:
            return number * UNITS[unit]
        if not unit and number == 0:
            return 0.0
        raise ExpectationError(
            f"`{text[:40]}` has no unit of time" if not unit else f"no unit of time `{unit[:20]}`",
            "for example 500ms, 5s, 2m",
        )
    if unit or not number.is_integer():
        raise ExpectationError(
            f"`{word}` is a whole number, not `{text[:40]}`", f"for example {_example(word, None)}"
        )
    return number


def _example(word: str, argument: str | None) -> str:
    what = (
        f"({argument or ('vip' if word == 'failover' else 'api.vip')})"
        if MEASURES[word].argument
        else ""
    )
    return f"{word}{what} " + (
        "<= 5s" if MEASURES[word].unit else "== 0" if word == "lost_writes" else "<= 3"
    )


def _close(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word[:40], names, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names)}"
