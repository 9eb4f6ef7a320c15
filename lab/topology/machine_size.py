"""`cpus` and `memory` of a role or a node: how much of the host it may use at most."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.base.sizes import MIB, spell
from lab.topology import values
from lab.topology.model import MachineSize, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.base.yaml_files import Problems, Value
    from lab.topology.values import ParsedValue, Section

KEYS = {"cpus": False, "memory": False}
"""None of them is required."""
UNITS = {"MiB": MIB, "Mi": MIB, "GiB": 1024 * MIB, "Gi": 1024 * MIB}
"""A unit → bytes. The short ones are Kubernetes'."""
MILLICPUS = (100, 512_000)
"""A tenth of a processor boots in minutes; no engine's machine has more than 512."""
MEMORY = (128 * MIB, 4096 * 1024 * MIB)
"""systemd, containerd and a kubelet alone use some 110 MiB."""
LITTLE = {Role.MASTER: 768 * MIB, Role.WORKER: 256 * MIB}
"""Less is warned of: an idle master uses 430 to 650 MiB, an idle worker 110 to 150 (measured)."""
_CPUS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?")
_MEMORY = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([A-Za-z]+)")


def read(section: Section) -> MachineSize:
    """Read the two keys of a role or a node; what is wrong is noted."""
    cpus = section.find("cpus", millicpus, 0)
    memory = section.find("memory", size, 0)
    return MachineSize(millicpus=cpus.value if cpus else 0, memory=memory.value if memory else 0)


def read_roles(section: Section) -> dict[Role, MachineSize]:
    """Read the section `roles`."""
    return {role: _of_role(section, role) for role in LITTLE}


def _of_role(section: Section, role: Role) -> MachineSize:
    at = section.items.get(role)
    path, problems = section.name(role), section.problems
    own = values.open_section(at, path, KEYS, section.at, problems)
    if at is not None and not own.items.keys() & KEYS.keys():
        problems.add(at, f"`{path}` has neither cpus nor memory", "give one of them")
    return read(own)


def of_node(own: MachineSize, role: Role, roles: Mapping[Role, MachineSize]) -> MachineSize:
    """Return what a node may use: what it says itself, else what its role says."""
    general = roles[role]
    return MachineSize(
        millicpus=own.millicpus or general.millicpus, memory=own.memory or general.memory
    )


def check(
    role: ParsedValue[Role] | None,
    name: str,
    own: MachineSize,
    roles: Mapping[Role, MachineSize],
    warnings: Problems,
) -> None:
    """Warn of a node that gets less memory than it needs when nothing runs on it."""
    if role is None:
        return
    memory = of_node(own, role.value, roles).memory
    if 0 < memory < LITTLE[role.value]:
        message = f"node `{name}` has {spell(memory)} of memory, little for a {role.value}"
        hint = f"{spell(LITTLE[role.value])} or more: it may not start, or be killed in parts"
        warnings.add(role.at, message, hint)


def millicpus(value: Value) -> int:
    """Parse a number of processors; the result is in thousandths of one."""
    text = values.text(value)
    if value.quoted or not _CPUS.fullmatch(text):
        hint = "for example 2 or 0.5, without quotes and units"
        raise WrongError(f"is `{shown(text)}`, not a number of processors", hint)
    amount = int(Decimal(text) * 1000)
    low, high = MILLICPUS
    if not low <= amount <= high:
        raise WrongError(f"is {text}", f"it must be {low / 1000:g} to {high / 1000:g}")
    return amount


def size(value: Value) -> int:
    """Parse an amount of memory with its unit; the result is in bytes."""
    text = values.text(value)
    match = _MEMORY.fullmatch(text)
    if not match or match[2] not in UNITS:
        hint = "for example 768MiB or 1.5GiB"
        raise WrongError(f"is `{shown(text)}`, not an amount of memory", hint)
    amount = int(Decimal(match[1]) * UNITS[match[2]])
    low, high = MEMORY
    if not low <= amount <= high:
        raise WrongError(f"is {text}", f"it must be {spell(low)} to {spell(high)}")
    return amount
