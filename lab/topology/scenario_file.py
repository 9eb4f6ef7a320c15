"""The format of a scenario: what is broken, in which order, and what is expected meanwhile.

Model and loader; lab/scenarios/runner.py runs it. A scenario is an item of a topology's
`scenarios:`, or a file of its own. A step is a mapping with exactly one of VERBS.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base import durations
from lab.base.errors import InputError, Problem, TopologyError, WrongError
from lab.base.messages import shown
from lab.base.suggest import did_you_mean
from lab.base.yaml_files import Problems, Value, compose
from lab.topology import user_probes, values
from lab.topology.schema import KEYS
from lab.topology.user_probes import UserProbe, UserWrites
from lab.topology.values import open_section, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.topology.expectation import Expectation

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
"""Verb → the keys that may stand beside it."""
NEEDS_TARGET = ("fault", "exec", "power")
UNTIL = ("steady", "ready", "noticed", "vip", "quorum", "no-quorum")
CEPH = ("absent", "check", "write", "kill", "recover", "reread")
"""The actions of the verb `ceph`; lab/scenarios/ceph_steps.py implements them."""
POWER = ("on", "off", "cycle", "soft")
TIMES_MS = (1, 3_600_000)
"""Nobody waits longer than an hour in one step."""
SETTLE_MS = 5_000
TIMEOUT_MS = 180_000
"""Enough for a lab to recover: a rebooted master takes some 15 s on two quiet cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its verb, the verb's value, and its options. Times are milliseconds."""

    verb: str
    value: str
    """Empty for a verb that takes a list: see `items`."""
    line: int = 0
    """Where it stands in its file, 1-based."""
    target: str = ""
    options: dict[str, str] = field(default_factory=dict)
    items: tuple[str, ...] = ()
    """exec: the command. random: the faults to choose from, each `FAULT TARGET [OPTION=VALUE]…`."""
    hold_ms: int = 0
    """fault: heal after this time; 0: never. random: how long each fault lasts."""
    timeout_ms: int = TIMEOUT_MS
    for_ms: int = 0
    """wait and random: how long the step takes."""
    pause_ms: int = 0
    """random: the time between two faults."""

    def describe(self) -> str:
        """Return the step in a few words, for progress lines and reports."""
        options = " ".join(f"{key}={value}" for key, value in self.options.items())
        parts = [
            self.verb,
            self.value or " ".join(self.items),
            f"at {self.target}" if self.target else "",
            options,
        ]
        lasts_ms = self.for_ms or self.hold_ms
        if lasts_ms and self.verb != "wait":  # a wait's value says how long
            parts.append(f"for {durations.spell(lasts_ms)}")
        return " ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A whole scenario."""

    name: str
    summary: str = ""
    steps: tuple[Step, ...] = ()
    expect: tuple[Expectation, ...] = ()
    settle_ms: int = SETTLE_MS
    """How long the steady lab is measured before the first step."""
    repeats: int = 1
    seed: int | None = None
    """Decides every random choice; None: a new one for each run."""
    probes: tuple[str, ...] = ()
    """What is measured of halab's own probes; empty: everything."""
    user_probes: tuple[UserProbe, ...] = ()
    """The user's own services that are measured beside them."""
    user_writes: tuple[UserWrites, ...] = ()
    path: str = ""
    """The file that it was read from; empty if none."""


def load(path: Path) -> Scenario:
    """Read a scenario from a file of its own.

    Raise InputError if it cannot be read, TopologyError with all its problems.
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
                    f"the keys are {', '.join(KEYS['scenarios.*'])}",
                ),
            ),
        )
    scenario = read(root, problems, str(path))
    problems.raise_any(str(path))
    return scenario


def read(value: Value, problems: Problems, path: str = "") -> Scenario:
    """Return the scenario in a value. What is wrong is noted in `problems` and left out."""
    section = open_section(value, "", KEYS["scenarios.*"], value, problems)
    duration = values.duration(*TIMES_MS, "for example 500ms, 20s, 2m")
    name = section.find("name", values.label)
    summary = section.find("summary", text, "")
    settle = section.find("settle", duration, SETTLE_MS)
    repeats = section.find("repeats", values.integer(1, 100), 1)
    seed = section.find("seed", values.integer(0, 999_999_999))
    probes = section.find_all("probes", user_probes.probe, ())
    items = probes.value if probes else ()
    writes = user_probes.writes(section.items.get("writes"), value, problems)
    expect = section.find_all("expect", values.expectation, ())
    steps = _steps(section.items.get("steps"), problems)
    return Scenario(
        name=name.value if name else "?",
        summary=summary.value if summary else "",
        steps=steps,
        expect=expect.value if expect else (),
        settle_ms=settle.value if settle else SETTLE_MS,
        repeats=repeats.value if repeats else 1,
        seed=seed.value if seed else None,
        probes=tuple(item for item in items if isinstance(item, str)),
        user_probes=tuple(item for item in items if isinstance(item, UserProbe)),
        user_writes=writes,
        path=path,
    )


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
    steps = [_step(item, problems) for item in value.data]
    return tuple(step for step in steps if step is not None)


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

    def lasting() -> int:
        if verb == "random":
            return time("for", 60_000)
        return duration(value) if verb == "wait" else 0

    listed = _items(value) if verb in {"exec", "random"} else ()
    return Step(
        verb=verb,
        value="" if listed else _value(verb, value, duration),
        line=item.line,
        target=target,
        options=_options(items.get("set")),
        items=listed,
        hold_ms=time("hold", 20_000 if verb == "random" else 0),
        timeout_ms=time("timeout", TIMEOUT_MS),
        for_ms=lasting(),
        pause_ms=time("pause", 0),
    )


def _value(verb: str, value: Value, duration: Callable[[Value], int]) -> str:
    if verb == "wait":
        return durations.spell(duration(value))
    argument = text(value)
    known = {"until": UNTIL, "power": POWER, "ceph": CEPH}.get(verb)
    if known and argument not in known:
        raise WrongError(
            f"has `{shown(argument)}`, which is not known", did_you_mean(argument, known)
        )
    return argument


def _items(value: Value) -> tuple[str, ...]:
    if not isinstance(value.data, list) or not value.data:
        raise WrongError(
            "must be a list",
            'for example [crm_mon, "-1"], or ["crash role:worker", "hang @vip-holder"]',
        )
    return tuple(text(item) for item in value.data)


def _options(value: Value | None) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value.data, dict):
        raise WrongError("has `set` without keys", "for example set: {percent: 5}")
    return {key: text(item) for key, item in value.data.items()}
