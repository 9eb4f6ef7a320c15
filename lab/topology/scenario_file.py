"""A scenario: what is broken, in which order, and what is expected of the lab meanwhile.

Model and loader; lab/scenarios/runner.py carries it out.

It stands in a topology's `scenarios:` or in a file of its own. A step is a mapping with one verb:
fault, heal, wait, until, exec, power, start, stop, addon, ceph, random.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import InputError, Problem, TopologyError, WrongError
from lab.base.messages import did_you_mean, shown
from lab.base.yaml_files import Problems, Value, compose
from lab.topology import values
from lab.topology.expectation import Expectation, ExpectationError
from lab.topology.expectation import parse as parse_expectation
from lab.topology.values import open_section, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = {
    "name": True,
    "summary": False,
    "settle": False,
    "steps": True,
    "expect": True,
    "repeats": False,
    "seed": False,
    "probes": False,
}
VERBS: dict[str, tuple[str, ...]] = {
    "fault": ("target", "set", "hold"),
    "heal": (),
    "wait": (),
    "until": ("timeout",),
    "exec": ("target",),
    "power": ("target",),
    "start": ("timeout",),
    "stop": (),
    "addon": (),
    "ceph": ("timeout",),
    "random": ("for", "hold", "pause"),
}
"""Verb → the keys that go with it."""
NEEDS_TARGET = ("fault", "exec", "power")
UNTIL = ("steady", "ready", "noticed", "vip", "quorum", "no-quorum")
CEPH = ("absent", "check", "write", "kill", "recover", "reread")
"""What can be done with Ceph, see lab/scenarios/ceph_steps.py."""
POWER = ("on", "off", "cycle", "soft")
TIMES_MS = (1, 3_600_000)
"""Nobody waits for more than an hour in one step."""
SETTLE_MS = 5_000
TIMEOUT_MS = 180_000
"""For a lab to be whole again: a rebooted master takes some 15 s on two quiet cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its verb, the verb's value, and what goes with it. Times are milliseconds."""

    verb: str
    value: str
    line: int = 0
    target: str = ""
    options: dict[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    """exec: the command. random: the faults to choose from, each `FAULT TARGET [OPTION=VALUE]…`."""
    hold_ms: int = 0
    """fault: heal after so long; 0: it stays. random: how long each fault stays."""
    timeout_ms: int = TIMEOUT_MS
    for_ms: int = 0
    pause_ms: int = 0

    def describe(self) -> str:
        """Say it in a few words."""
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        parts = [
            self.verb,
            self.value or " ".join(self.words),
            f"at {self.target}" if self.target else "",
            options,
        ]
        long = (
            0 if self.verb == "wait" else self.for_ms or self.hold_ms
        )  # a wait's value says how long
        held = f"for {values.spell(long)}" if long else ""
        return " ".join(part for part in (*parts, held) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole scenario. `settle_ms` is how long the steady lab is measured before the first step.

    An empty `probes` means all.
    """

    name: str
    summary: str = ""
    steps: tuple[Step, ...] = ()
    expect: tuple[Expectation, ...] = ()
    settle_ms: int = SETTLE_MS
    repeats: int = 1
    seed: int | None = None
    probes: tuple[str, ...] = ()
    path: str = ""


def load(path: Path) -> Scenario:
    """Read a scenario's own file.

    Raises InputError where there is none, TopologyError with all its problems.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "`halab scenario list` shows what comes with halab"
        ) from None
    problems = Problems()
    root = compose(content, str(path), problems)
    if not isinstance(root.data, dict):
        raise TopologyError(
            str(path),
            (
                Problem(
                    root.line,
                    "a scenario must have keys with values",
                    f"the keys are {', '.join(KEYS)}",
                ),
            ),
        )
    found = read(root, problems, str(path))
    problems.raise_any(str(path))
    return found


def read(value: Value, problems: Problems, path: str = "") -> Scenario:
    """Read a scenario; what is wrong is noted and left out."""
    section = open_section(value, "", KEYS, value, problems)
    duration = values.duration(*TIMES_MS, "for example 500ms, 20s, 2m")
    name = section.find("name", values.label)
    summary = section.find("summary", text, "")
    settle = section.find("settle", duration, SETTLE_MS)
    repeats = section.find("repeats", values.integer(1, 100), 1)
    seed = section.find("seed", values.integer(0, 999_999_999))
    probes = section.find_all("probes", text, ())
    expect = section.find_all("expect", _expectation, ())
    steps = _steps(section.items.get("steps"), problems)
    return Scenario(
        name=name.value if name else "?",
        summary=summary.value if summary else "",
        steps=steps,
        expect=expect.value if expect else (),
        settle_ms=settle.value if settle else SETTLE_MS,
        repeats=repeats.value if repeats else 1,
        seed=seed.value if seed else None,
        probes=probes.value if probes else (),
        path=path,
    )


def _expectation(value: Value) -> Expectation:
    try:
        return parse_expectation(text(value))
    except ExpectationError as error:
        raise WrongError(f"has {error.message}", error.hint) from None


def _steps(value: Value | None, problems: Problems) -> tuple[Step, ...]:
    if value is None:
        return ()
    if not isinstance(value.data, list) or not value.data:
        problems.add(
            value,
            "`steps` must be a list of steps",
            "for example - {fault: crash, target: '@vip-holder', hold: 20s}",
        )
        return ()
    found = [_step(item, problems) for item in value.data]
    return tuple(step for step in found if step is not None)


def _step(item: Value, problems: Problems) -> Step | None:
    if not isinstance(item.data, dict):
        problems.add(item, "a step must be a verb with a value", f"verbs: {', '.join(VERBS)}")
        return None
    verbs = [key for key in item.data if key in VERBS]
    if len(verbs) != 1:
        what = f"has {len(verbs)} verbs: {', '.join(verbs)}" if verbs else "has no verb"
        problems.add(
            item,
            f"a step {what}",
            "one each" if verbs else did_you_mean(next(iter(item.data), ""), VERBS),
        )
        return None
    verb = verbs[0]
    section = open_section(
        item, f"step {verb}", {verb: True, **dict.fromkeys(VERBS[verb], False)}, item, problems
    )
    try:
        return _read_step(verb, section, item)
    except WrongError as wrong:
        problems.add(item, f"step `{verb}` {wrong.message}", wrong.hint)
        return None


def _read_step(verb: str, section: values.Section, item: Value) -> Step:
    duration = values.duration(*TIMES_MS, "for example 500ms, 20s, 2m")
    items = section.items
    value = items[verb]
    target = text(items["target"]) if "target" in items else ""
    if verb in NEEDS_TARGET and not target:
        raise WrongError(
            "has no target", "target: a node's name, @vip-holder, @leader, role:worker, minority …"
        )

    def time(key: str, otherwise: int) -> int:
        return duration(items[key]) if key in items else otherwise

    words = _words(value) if verb in {"exec", "random"} else ()
    return Step(
        verb=verb,
        value="" if words else _value(verb, value, duration),
        line=item.line,
        target=target,
        options=_options(items.get("set")),
        words=words,
        hold_ms=time("hold", 20_000 if verb == "random" else 0),
        timeout_ms=time("timeout", TIMEOUT_MS),
        for_ms=time("for", 60_000)
        if verb == "random"
        else duration(value)
        if verb == "wait"
        else 0,
        pause_ms=time("pause", 0),
    )


def _value(verb: str, value: Value, duration: Callable[[Value], int]) -> str:
    word = text(value)
    known = {"until": UNTIL, "power": POWER, "ceph": CEPH}.get(verb)
    if known and word not in known:
        raise WrongError(f"has `{shown(word)}`, which is not known", did_you_mean(word, known))
    return values.spell(duration(value)) if verb == "wait" else word


def _words(value: Value) -> tuple[str, ...]:
    if not isinstance(value.data, list) or not value.data:
        raise WrongError(
            "must be a list",
            'for example [crm_mon, "-1"], or ["crash role:worker", "hang @vip-holder"]',
        )
    return tuple(text(word) for word in value.data)


def _options(value: Value | None) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value.data, dict):
        raise WrongError("has `set` without keys", "for example set: {percent: 5}")
    return {key: text(item) for key, item in value.data.items()}
