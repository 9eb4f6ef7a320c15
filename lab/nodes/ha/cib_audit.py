"""Whether Pacemaker came out of a fault as it went in: the same configuration on every master, every resource running.

A fault, or its healing, that leaves the CIB changed, or a resource blocked, would show only at the next failover.
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
"""For one question; a tenth of a second on a quiet machine."""
CONFIGURATION = ("cibadmin", "--query", "--scope", "configuration")
RESOURCES = ("crm_mon", "-1", "--inactive", "--output-as=xml", "--include=none,resources")


@dataclass(slots=True)
class Audit:
    """Looks at all masters' Pacemakers, and compares with what the first good look saw."""

    masters: tuple[NodeHandle, ...]
    before: dict[str, str] = field(default_factory=dict)

    def observe(self) -> Observation:
        """Look once. Raises LabError where a master cannot be asked."""
        with ThreadPoolExecutor(len(self.masters)) as pool:
            answers = dict(
                zip([node.name for node in self.masters], pool.map(_ask, self.masters), strict=True)
            )
        wanted = self.before or next(iter(answers.values()))[0]
        wrong = [
            text
            for name, (settings, idle) in answers.items()
            for text in _wrong(name, wanted, settings, self._needed(idle, settings))
        ]
        if not wrong:
            self.before = wanted
        return Observation(
            ok=not wrong,
            detail="; ".join(wrong)[:300]
            or f"{len(answers)} masters have the same CIB, and every resource runs",
        )

    def _needed(self, idle: tuple[str, ...], settings: dict[str, str]) -> tuple[str, ...]:
        """Leave out fencing devices where none can run: a lone master's may not run on itself; with fencing off nobody needs them."""
        off = "value=false" in settings.get(cib.FENCING_OPTION, "") or len(self.masters) == 1
        return tuple(name for name in idle if not (off and name.startswith(cib.FENCE_PREFIX)))


def _ask(node: NodeHandle) -> tuple[dict[str, str], tuple[str, ...]]:
    settings, resources = (
        node.run(argv, check=False, timeout_s=ASK_TIMEOUT_S).output
        for argv in (CONFIGURATION, RESOURCES)
    )
    return crm_mon.settings(settings), crm_mon.idle(resources)


def _wrong(
    name: str, wanted: dict[str, str], settings: dict[str, str], idle: tuple[str, ...]
) -> list[str]:
    if not settings:
        return [f"the CIB of {name} does not answer"]
    changed = sorted(
        key for key in wanted.keys() | settings.keys() if wanted.get(key) != settings.get(key)
    )
    told = [f"the CIB of {name} differs in {', '.join(changed[:5])}"] if changed else []
    return told + [f"{name} says that {resource} does not run" for resource in idle]
