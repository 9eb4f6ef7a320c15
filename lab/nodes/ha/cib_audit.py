"""Whether Pacemaker came out of a fault as it went in.

All masters must have the configuration of before, and every resource must run. Otherwise a CIB that
a fault or its healing changed, or a blocked resource, would show only at the next failover.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.wait import Observation
from lab.nodes.ha import cib, crm_mon

if TYPE_CHECKING:
    from lab.engine.node import NodeHandle

ASK_TIMEOUT_S = 10
"""For one question, which takes a tenth of a second on a quiet machine."""
CONFIGURATION = ("cibadmin", "--query", "--scope", "configuration")
RESOURCES = ("crm_mon", "-1", "--inactive", "--output-as=xml", "--include=none,resources")


@dataclass(slots=True)
class Audit:
    """Looks at all masters' Pacemakers and compares them with the first good look."""

    masters: tuple[NodeHandle, ...]
    before: dict[str, str] = field(default_factory=dict)
    """The configuration at the first good look, as `crm_mon.settings` reads it."""

    def observe(self) -> Observation:
        """Look once. Raises LabError if a master cannot be asked."""
        with ThreadPoolExecutor(len(self.masters)) as pool:
            answers = dict(
                zip([node.name for node in self.masters], pool.map(_ask, self.masters), strict=True)
            )
        expected = self.before or next(iter(answers.values()))[0]
        problems: list[str] = []
        for name, (settings, idle) in answers.items():
            problems += _problems(name, expected, settings, self._needed(idle, settings))
        if not problems:
            self.before = expected
        good = f"{len(answers)} masters have the same CIB, and every resource runs"
        return Observation(ok=not problems, detail="; ".join(problems)[:300] or good)

    def _needed(self, idle: tuple[str, ...], settings: dict[str, str]) -> tuple[str, ...]:
        """Leave out fencing devices if none has to run.

        A lone master's device may not run on that master; with fencing off nobody needs any.
        """
        off = "value=false" in settings.get(cib.FENCING_OPTION, "") or len(self.masters) == 1
        return tuple(name for name in idle if not (off and name.startswith(cib.FENCE_PREFIX)))


def _ask(node: NodeHandle) -> tuple[dict[str, str], tuple[str, ...]]:
    settings, resources = (
        node.run(argv, check=False, timeout_s=ASK_TIMEOUT_S).output
        for argv in (CONFIGURATION, RESOURCES)
    )
    return crm_mon.settings(settings), crm_mon.idle(resources)


def _problems(
    name: str, expected: dict[str, str], settings: dict[str, str], idle: tuple[str, ...]
) -> list[str]:
    if not settings:
        return [f"the CIB of {name} does not answer"]
    keys = expected.keys() | settings.keys()
    changed = sorted(key for key in keys if expected.get(key) != settings.get(key))
    differs = [f"the CIB of {name} differs in {', '.join(changed[:5])}"] if changed else []
    return differs + [f"{name} says that {resource} does not run" for resource in idle]
