"""Which lab a test asks for: read from a marker or an option, and loaded."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import paths
from lab.base.errors import InputError
from lab.base.suggest import did_you_mean
from lab.topology import loader
from lab.topology.known_names import DISTRIBUTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.topology.model import Topology

DEFAULT_TOPOLOGY = "3m3w"
"""The smallest shipped lab in which everything can fail over, workloads included."""
KEYS = ("topology", "distribution", "set", "keep")
"""What a marker may say."""


@dataclass(frozen=True, slots=True)
class LabSpec:
    """The lab that a test asks for. Tests with equal specs share a session's lab."""

    topology: str = ""
    """A shipped topology's name, or a file's path; empty: whoever reads it says which."""
    distribution: str = ""
    overrides: tuple[str, ...] = ()
    """`KEY=VALUE`, as `halab start --set` takes it."""
    keep: bool = field(default=False, compare=False)

    def load(self, name: str = "", more: Iterable[str] = ()) -> Topology:
        """Return the topology, with `more` overrides where the spec itself says nothing.

        Raises InputError or TopologyError.
        """
        own = {setting.partition("=")[0] for setting in self.overrides}
        added = (setting for setting in more if setting.partition("=")[0] not in own)
        path = topology_file(self.topology or DEFAULT_TOPOLOGY)
        return loader.load(path, (*added, *self.overrides), name).topology

    def or_else(self, default: LabSpec) -> LabSpec:
        """Return the spec, with the default's values where it says nothing itself."""
        own = {setting.partition("=")[0] for setting in self.overrides}
        more = (each for each in default.overrides if each.partition("=")[0] not in own)
        return LabSpec(
            self.topology or default.topology,
            self.distribution or default.distribution,
            tuple(sorted((*more, *self.overrides))),
            self.keep or default.keep,
        )


DEFAULT = LabSpec(DEFAULT_TOPOLOGY)


def differences(spec: LabSpec, there: Topology, distribution: str) -> list[str]:
    """Return how a running lab differs from what a test asks for: `lab x is 1m1w, not 3m3w`.

    Its addresses may differ, and so may anything that the spec does not name.
    """
    reasons = []
    if spec.distribution and spec.distribution != distribution:
        reasons.append(f"lab {there.name} runs {distribution}, not {spec.distribution}")
    if not spec.topology:
        return reasons
    topology = spec.load()
    if _shape(topology) != _shape(there):
        reasons.append(f"lab {there.name} is {_shape(there)}, not {_shape(topology)}")
    sections = ("ha", "kubernetes") if spec.overrides else ()
    other = [name for name in sections if getattr(topology, name) != getattr(there, name)]
    return reasons + [f"lab {there.name} has other values in `{name}`" for name in other]


def _shape(topology: Topology) -> str:
    return f"{len(topology.masters)}m{len(topology.workers)}w"


def topology_file(topology: str) -> Path:
    """Return a topology's file, by its path or by a shipped topology's name. Raises InputError."""
    if "/" in topology or topology.endswith((".yaml", ".yml")):
        return Path(topology)
    folder = paths.shipped("topologies")
    shipped = [path.stem for path in sorted(folder.glob("*.yaml"))]
    if topology not in shipped:
        hint = f"{did_you_mean(topology, shipped)}; or name a file, with its ending"
        raise InputError(f"no topology `{topology}`", hint)
    return folder / f"{topology}.yaml"


def read(
    given: Mapping[str, object],
    folder: Path | None = None,
    default: LabSpec = DEFAULT,
) -> LabSpec:
    """Read a marker's arguments. Raises InputError, or TopologyError with all that is wrong.

    A relative path starts from `folder`, that of the test, where there is such a file. What is not
    said is judged with the default's values.
    """
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise InputError(f"no argument `{unknown[0]}`", did_you_mean(unknown[0], KEYS))
    distribution = _text(given, "distribution")
    if distribution and distribution not in DISTRIBUTIONS:
        hint = did_you_mean(distribution, DISTRIBUTIONS)
        raise InputError(f"no distribution `{distribution}`", hint)
    keep = given.get("keep", False)
    if not isinstance(keep, bool):
        raise InputError(f"keep={keep!r} is neither True nor False")
    topology = _beside(_text(given, "topology"), folder)
    spec = LabSpec(topology, distribution, overrides(given.get("set") or {}), keep)
    _judge(spec.or_else(default))
    return spec


@functools.cache
def _judge(spec: LabSpec) -> None:
    """Raise for a topology that is none; hundreds of tests may have the same good one."""
    spec.load()


def _text(given: Mapping[str, object], key: str) -> str:
    value = given.get(key) or ""
    if not isinstance(value, str):
        raise InputError(f"{key}={value!r} is not a text")
    return value


def _beside(topology: str, folder: Path | None) -> str:
    beside = folder / topology if folder and topology.endswith((".yaml", ".yml")) else None
    return str(beside) if beside and beside.is_file() else topology


def overrides(given: object) -> tuple[str, ...]:
    """Return `{"ha.token": "400ms"}` as the words of `--set`, sorted. Raises InputError."""
    if not hasattr(given, "items"):
        raise InputError(f"set={given!r} is not a mapping", 'for example set={"ha.token": "400ms"}')
    return tuple(sorted(f"{key}={_yaml(value)}" for key, value in given.items()))


def _yaml(value: object) -> str:
    """JSON is YAML; text stays as it is, for `400ms` in quotes would be the same text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
