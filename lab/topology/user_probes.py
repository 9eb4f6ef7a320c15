"""What a scenario measures of the user's own: services that are asked, and keys that are written.

Only the shape is read here. lab/measure/user_probes.py knows whether a URL leads into the lab.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.base.errors import InputError, WrongError
from lab.base.messages import shown
from lab.base.suggest import did_you_mean
from lab.topology.schema import PLACES, PROBE_KEYS, WRITES_KEYS
from lab.topology.values import one_of, open_section, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.base.yaml_files import Problems, Value

EXAMPLE = "for example {name: shop, url: http://vip:30080/healthz}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserProbe:
    """A service of the user's own that is asked at its URL."""

    name: str
    url: str
    place: str = PLACES[0]
    """From where it is asked, one of PLACES: outside the cluster, or a pod on every worker."""
    line: int = field(default=0, compare=False)
    """Where it stands in its file, 1-based; 0: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserWrites:
    """Keys that are written to a service of the user's own, and read back at the end."""

    name: str
    write: str
    """A URL, with a method before it if it is not POST, or a command in a pod. `{key}` stands for
    the key."""
    read: str
    """The same, for reading. Without `{key}` its one answer has all keys."""
    line: int = field(default=0, compare=False)


def probe(value: Value) -> str | UserProbe:
    """Return an item of `probes`: the name of one of halab's own, or one of the user's.

    Raises WrongError.
    """
    if not isinstance(value.data, dict):
        return text(value)
    items = _texts(value.data, PROBE_KEYS)
    place = one_of(PLACES)(value.data["from"]) if "from" in items else PLACES[0]
    return UserProbe(name=items["name"], url=items["url"], place=place, line=value.line)


def _texts(items: Mapping[str, Value], keys: Mapping[str, bool]) -> dict[str, str]:
    for key in items:
        if key not in keys:
            raise WrongError(f"has an unknown key `{shown(key)}`", did_you_mean(key, keys))
    for key, required in keys.items():
        if required and key not in items:
            raise WrongError(f"has an item without `{key}`", EXAMPLE)
    return {key: text(item) for key, item in items.items()}


def writes(value: Value | None, parent: Value, problems: Problems) -> tuple[UserWrites, ...]:
    """Return the writes under their names. What is wrong is noted and left out."""
    if value is None:
        return ()
    keys = dict.fromkeys(value.data, False) if isinstance(value.data, dict) else WRITES_KEYS
    section = open_section(value, "writes", keys, parent, problems)
    rows = []
    for name, item in section.items.items():
        row = open_section(item, f"writes.{name}", WRITES_KEYS, item, problems)
        write, read = row.find("write", text), row.find("read", text)
        if write and read:
            rows.append(UserWrites(name=name, write=write.value, read=read.value, line=item.line))
    return tuple(rows)


def of_option(option: str) -> UserProbe:
    """Return the probe of `--probe NAME=URL`. Raises InputError."""
    name, sign, url = option.partition("=")
    if not sign or not name or not url:
        raise InputError(
            f"`--probe {option}` is not NAME=URL", "for example --probe shop=http://vip:30080/"
        )
    return UserProbe(name=name, url=url)
