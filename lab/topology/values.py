"""Single values of the topology file: from text to addresses, durations, names; each refusal says what to do."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from lab.base.errors import WrongError
from lab.base.messages import did_you_mean, shown
from lab.base.names import check_label, check_node_name
from lab.base.yaml_files import BOOLEANS, Problems, Value
from lab.topology.known_names import FENCING, NO_FENCING
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

MAX_ITEMS = 50
"""No list of ours is longer; a long one is a mistake."""
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m)")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000}
_UNUSABLE = tuple(
    IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""This host, loopback, link-local, multicast and reserved: RFC 6890."""
_ROLES_ELSEWHERE = {
    "server": "master",
    "control-plane": "master",
    "controlplane": "master",
    "agent": "worker",
    "node": "worker",
}


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A good value and where it stands; a default stands at its section."""

    value: T
    at: Value
    given: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of the file whose keys are read one by one."""

    at: Value
    path: str
    items: dict[str, Value]
    problems: Problems

    def name(self, key: str) -> str:
        """Return the key's full path, as `--set` takes it."""
        return f"{self.path}.{key}" if self.path else key

    def find(
        self, key: str, parse: Callable[[Value], T], default: T | None = None
    ) -> Found[T] | None:
        """Read a key.

        None where it is wrong (noted) or missing without a default (noted when the section was
        opened).
        """
        item = self.items.get(key)
        if item is None:
            return None if default is None else Found(default, self.at, given=False)
        return self._read(item, self.name(key), parse)

    def find_all(
        self, key: str, parse: Callable[[Value], T], default: tuple[T, ...]
    ) -> Found[tuple[T, ...]] | None:
        """Read a list, each of its items by itself; the same item twice is refused."""
        item = self.items.get(key)
        if item is None:
            return Found(default, self.at, given=False)
        if not isinstance(item.data, list):
            self.problems.add(
                item, f"`{self.name(key)}` must be a list", f"for example {key}: [{_example(item)}]"
            )
            return None
        if len(item.data) > MAX_ITEMS:
            self.problems.add(
                item, f"`{self.name(key)}` has {len(item.data)} items", f"at most {MAX_ITEMS}"
            )
            return None
        good: list[T] = []
        for entry in item.data:
            read = self._read(entry, self.name(key), parse)
            if read and read.value in good:
                self.problems.add(
                    entry, f"`{self.name(key)}` has {read.value} twice", "keep one of them"
                )
            elif read:
                good.append(read.value)
        return Found(tuple(good), item) if len(good) == len(item.data) else None

    def _read(self, item: Value, name: str, parse: Callable[[Value], T]) -> Found[T] | None:
        try:
            return Found(parse(item), item)
        except WrongError as wrong:
            self.problems.add(item, f"`{shown(name)}` {wrong.message}", wrong.hint)
            return None


def open_section(
    at: Value | None, path: str, keys: Mapping[str, bool], parent: Value, problems: Problems
) -> Section:
    """Take a mapping: unknown keys, and missing ones whose flag says required, are noted.

    A missing section has no keys.
    """
    where = f" in `{shown(path)}`" if path else ""
    if at is None:
        return Section(parent, path, {}, problems)
    if not isinstance(at.data, dict):
        what = "the file" if not path else f"`{shown(path)}`"
        problems.add(at, f"{what} must have keys with values", f"the keys are {', '.join(keys)}")
        return Section(at, path, {}, problems)
    for key, item in at.data.items():
        if key not in keys:
            problems.add(item, f"unknown key `{shown(key)}`{where}", did_you_mean(key, keys))
    for key, required in keys.items():
        if required and key not in at.data:
            problems.add(at, f"`{key}` is missing{where}", "`halab schema` tells what it means")
    return Section(at, path, at.data, problems)


def _example(item: Value) -> str:
    return shown(item.data) if isinstance(item.data, str) else "…"


def text(value: Value) -> str:
    """Take any scalar."""
    if value.data is None or value.data == "":
        raise WrongError("has no value", "give one, or leave the key out if it has a default")
    if not isinstance(value.data, str):
        raise WrongError("must be a single value", "remove the brackets, dashes or keys")
    return value.data


def label(value: Value) -> str:
    """Take a name that can be a hostname: RFC 1123, section 2.1."""
    word = text(value)
    if not value.quoted and word.lower() in BOOLEANS:
        raise WrongError(
            f"is `{word}`, which means true or false in YAML 1.1", f'write it in quotes: "{word}"'
        )
    check_label(word)
    return word


def node_name(value: Value) -> str:
    """Take the name of a machine."""
    word = label(value)
    check_node_name(word)
    return word


def integer(low: int, high: int, also: tuple[int, ...] = ()) -> Callable[[Value], int]:
    """Take a plain decimal number: no 1_000, 0x10, 010 or 1:30, which YAML 1.1 reads in its own way."""

    def parse(value: Value) -> int:
        word = text(value)
        allowed = (f"a number from {low} to {high}" if low < high else str(low)) + "".join(
            f", or {other}" for other in also
        )
        if value.quoted or not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", word):
            raise WrongError(
                f"is `{shown(word)}`, not a whole number", f"{allowed}, digits only, without quotes"
            )
        if not low <= int(word) <= high and int(word) not in also:
            raise WrongError(f"is {word}", f"it must be {allowed}")
        return int(word)

    return parse


def boolean(value: Value) -> bool:
    """Take true or false, and no other of YAML 1.1's words for them."""
    word = text(value)
    if value.quoted or word not in {"true", "false"}:
        raise WrongError(
            f"is `{shown(word)}`, not true or false", "write true or false, without quotes"
        )
    return word == "true"


def fencing(value: Value) -> str:
    """Take what becomes of a lost master: one of FENCING, or true or false, the old words."""
    word = text(value)
    if word in {"true", "false"} and not value.quoted:
        return FENCING[0] if word == "true" else NO_FENCING
    if word in FENCING:
        return word
    hint = f"`{NO_FENCING}` is without fencing" if word.lower() in BOOLEANS else ""
    wrong = f"is `{shown(word)}`, not {', '.join(FENCING[:-1])} or {FENCING[-1]}"
    raise WrongError(wrong, hint or did_you_mean(word, FENCING))


def spell(milliseconds: int) -> str:
    """Write a duration as a person would: 400ms, 30s, 5m."""
    if milliseconds % 60_000 == 0:
        return f"{milliseconds // 60_000}m"
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def duration(low: int, high: int, why: str) -> Callable[[Value], int]:
    """Take a duration with a unit, in whole milliseconds between two bounds."""

    def parse(value: Value) -> int:
        word = text(value)
        if re.fullmatch(r"[0-9.]+", word):
            raise WrongError(
                f"is `{shown(word)}`, a number without a unit",
                f"write {shown(word)}ms, {shown(word)}s or {shown(word)}m",
            )
        match = _DURATION.fullmatch(word)
        amount = Decimal(match[1]) * _UNITS_MS[match[2]] if match else Decimal(0)
        if not match or amount != int(amount):
            raise WrongError(
                f"is `{shown(word)}`, not a duration of whole milliseconds",
                "for example 400ms, 1s, 2.5s or 1m",
            )
        if not low <= amount <= high:
            raise WrongError(f"is {word}, outside {spell(low)} to {spell(high)}", why)
        return int(amount)

    return parse


def address(value: Value) -> IPv4Address:
    """Take an IPv4 address that a machine can have."""
    word = text(value)
    try:
        parsed = IPv4Address(word)
    except ValueError:
        raise WrongError(
            f"is `{shown(word)}`, not an IPv4 address", "for example 172.30.0.49"
        ) from None
    if any(parsed in unusable for unusable in _UNUSABLE):
        raise WrongError(
            f"is {parsed}, an address of special use, not a machine's (RFC 6890)",
            "for example 172.30.0.49",
        )
    return parsed


def network(low: int, high: int) -> Callable[[Value], IPv4Network]:
    """Take a network whose prefix length is between two bounds."""

    def parse(value: Value) -> IPv4Network:
        word = text(value)
        try:
            loose = IPv4Network(word, strict=False)
        except ValueError:
            loose = None
        if loose is None or not re.fullmatch(r"[0-9.]+/[0-9]+", word):
            raise WrongError(
                f"is `{shown(word)}`, not an IPv4 network",
                "address/prefix length, for example 172.30.0.0/24",
            )
        if str(loose.network_address) != word.partition("/")[0]:
            raise WrongError(f"is {word}, which has host bits set", f"did you mean {loose}?")
        if not low <= loose.prefixlen <= high:
            raise WrongError(
                f"is {word}, a prefix of the wrong length", f"it must be /{low} to /{high}"
            )
        if any(loose.overlaps(unusable) for unusable in _UNUSABLE):
            raise WrongError(
                f"is {word}, a range of special use (RFC 6890)", "for example 10.42.0.0/16"
            )
        return loose

    return parse


def word_of(known: tuple[str, ...]) -> Callable[[Value], str]:
    """Take one of the known words."""

    def parse(value: Value) -> str:
        word = text(value)
        if word not in known:
            raise WrongError(f"has `{shown(word)}`, which is not known", did_you_mean(word, known))
        return word

    return parse


def role(value: Value) -> Role:
    """Take master or worker."""
    word = text(value)
    if word not in {Role.MASTER, Role.WORKER}:
        hint = did_you_mean(_ROLES_ELSEWHERE.get(word.lower(), word), (Role.MASTER, Role.WORKER))
        hint = (
            "a load balancer has its own section `loadbalancer`"
            if word == Role.LOADBALANCER
            else hint
        )
        raise WrongError(f"is `{shown(word)}`, which is not a role", hint)
    return Role(word)


def file(base: Path) -> Callable[[Value], str]:
    """Take the path of a file that is there, from the topology's folder on; given back absolute."""

    def parse(value: Value) -> str:
        word = text(value)
        path = os.path.abspath(base / Path(word))  # noqa: PTH100 (resolve() would follow links, and the user named the link)
        try:
            good = "\0" not in word and Path(path).is_file()
        except (
            OSError,
            ValueError,
        ):  # a name too long, no permission on its folder, or not encodable
            good = False
        if not good:
            raise WrongError(
                f"names no file: {shown(path)}",
                "paths are taken from the topology file's folder on",
            )
        return path

    return parse
