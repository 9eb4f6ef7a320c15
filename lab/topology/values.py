"""Single values of the topology file: from text to addresses, durations and names.

Each parser takes a Value and returns what it means, or raises WrongError, which says what to do.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from lab.base import durations
from lab.base.errors import WrongError
from lab.base.messages import shown
from lab.base.names import check_label, check_node_name
from lab.base.suggest import did_you_mean
from lab.base.yaml_files import BOOLEANS, Problems, Value
from lab.topology import expectation as expectations
from lab.topology.known_names import FENCING, NO_FENCING
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.topology.expectation import Expectation

T = TypeVar("T")

MAX_ITEMS = 50
"""No list in the format needs more; a longer one is a mistake."""
_UNUSABLE = tuple(
    IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
)
"""This host, loopback, link-local, multicast and reserved (RFC 6890)."""
_ROLES_ELSEWHERE = {
    "server": "master",
    "control-plane": "master",
    "controlplane": "master",
    "agent": "worker",
    "node": "worker",
}


@dataclass(frozen=True, slots=True)
class ParsedValue(Generic[T]):
    """A valid value, and where it stands in the file."""

    value: T
    at: Value
    """For a default, its section."""
    given: bool = True
    """False for a default."""


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping of the file; its keys are read one by one, and what is wrong is noted."""

    at: Value
    path: str
    items: dict[str, Value]
    problems: Problems

    def name(self, key: str) -> str:
        """Return a key's full path, as `--set` takes it."""
        return f"{self.path}.{key}" if self.path else key

    def find(
        self, key: str, parse: Callable[[Value], T], default: T | None = None
    ) -> ParsedValue[T] | None:
        """Return a key's value, or the default if the key is missing.

        None if it is wrong, which is noted, or missing without a default: a missing key that is
        required was noted when the section was opened.
        """
        item = self.items.get(key)
        if item is None:
            return None if default is None else ParsedValue(default, self.at, given=False)
        return self._read(item, self.name(key), parse)

    def find_all(
        self, key: str, parse: Callable[[Value], T], default: tuple[T, ...]
    ) -> ParsedValue[tuple[T, ...]] | None:
        """Return a list's values, each parsed by itself, or the default if the key is missing.

        None if anything is wrong, which is noted. The same value twice is wrong.
        """
        item = self.items.get(key)
        if item is None:
            return ParsedValue(default, self.at, given=False)
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
        return ParsedValue(tuple(good), item) if len(good) == len(item.data) else None

    def _read(self, item: Value, name: str, parse: Callable[[Value], T]) -> ParsedValue[T] | None:
        try:
            return ParsedValue(parse(item), item)
        except WrongError as wrong:
            self.problems.add(item, f"`{shown(name)}` {wrong.message}", wrong.hint)
            return None


def open_section(
    at: Value | None, path: str, keys: Mapping[str, bool], parent: Value, problems: Problems
) -> Section:
    """Return a mapping as a section; note its unknown keys, and the required ones it lacks.

    `keys` says of each key whether it is required. A section that is missing (`at` is None) has no
    keys, and stands where its `parent` does.
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
            problems.add(at, f"`{key}` is missing{where}", "`halab schema` says what it means")
    return Section(at, path, at.data, problems)


def _example(item: Value) -> str:
    return shown(item.data) if isinstance(item.data, str) else "…"


def text(value: Value) -> str:
    """Parse any scalar."""
    if value.data is None or value.data == "":
        raise WrongError("has no value", "give one, or leave the key out if it has a default")
    if not isinstance(value.data, str):
        raise WrongError("must be a single value", "remove the brackets, dashes or keys")
    return value.data


def label(value: Value) -> str:
    """Parse a name that can be a hostname (RFC 1123, section 2.1)."""
    name = text(value)
    if not value.quoted and name.lower() in BOOLEANS:
        raise WrongError(
            f"is `{name}`, which means true or false in YAML 1.1", f'write it in quotes: "{name}"'
        )
    check_label(name)
    return name


def node_name(value: Value) -> str:
    """Parse the name of a machine."""
    name = label(value)
    check_node_name(name)
    return name


def integer(low: int, high: int, also: tuple[int, ...] = ()) -> Callable[[Value], int]:
    """Return a parser for a whole number from `low` to `high`, or one of `also`.

    Only plain decimals: YAML 1.1 reads 1_000, 0x10, 010 and 1:30 in its own way.
    """

    def parse(value: Value) -> int:
        digits = text(value)
        allowed = (f"a number from {low} to {high}" if low < high else str(low)) + "".join(
            f", or {other}" for other in also
        )
        if value.quoted or not re.fullmatch(r"0|-?[1-9][0-9]{0,8}", digits):
            raise WrongError(
                f"is `{shown(digits)}`, not a whole number",
                f"{allowed}, digits only, without quotes",
            )
        number = int(digits)
        if not low <= number <= high and number not in also:
            raise WrongError(f"is {digits}", f"it must be {allowed}")
        return number

    return parse


def boolean(value: Value) -> bool:
    """Parse true or false, but none of YAML 1.1's other spellings of them."""
    truth = text(value)
    if value.quoted or truth not in {"true", "false"}:
        raise WrongError(
            f"is `{shown(truth)}`, not true or false", "write true or false, without quotes"
        )
    return truth == "true"


def fencing(value: Value) -> str:
    """Parse what happens to a lost master: one of FENCING, or true or false, their old names."""
    choice = text(value)
    if choice in {"true", "false"} and not value.quoted:
        return FENCING[0] if choice == "true" else NO_FENCING
    if choice in FENCING:
        return choice
    hint = f"`{NO_FENCING}` is without fencing" if choice.lower() in BOOLEANS else ""
    wrong = f"is `{shown(choice)}`, not {', '.join(FENCING[:-1])} or {FENCING[-1]}"
    raise WrongError(wrong, hint or did_you_mean(choice, FENCING))


def duration(low: int, high: int, why: str) -> Callable[[Value], int]:
    """Return a parser for a duration with a unit: milliseconds from `low` to `high`.

    `why` is the hint for one outside of them.
    """

    def parse(value: Value) -> int:
        spelled = text(value)
        if re.fullmatch(r"[0-9.]+", spelled):
            raise WrongError(
                f"is `{shown(spelled)}`, a number without a unit",
                f"write {shown(spelled)}ms, {shown(spelled)}s or {shown(spelled)}m",
            )
        amount = durations.milliseconds(spelled)
        if amount is None or not amount.is_integer():
            raise WrongError(
                f"is `{shown(spelled)}`, not a duration of whole milliseconds",
                "for example 400ms, 1s, 2.5s or 1m",
            )
        if not low <= amount <= high:
            bounds = f"{durations.spell(low)} to {durations.spell(high)}"
            raise WrongError(f"is {spelled}, outside {bounds}", why)
        return int(amount)

    return parse


def address(value: Value) -> IPv4Address:
    """Parse an IPv4 address that a machine can have."""
    dotted = text(value)
    try:
        parsed = IPv4Address(dotted)
    except ValueError:
        raise WrongError(
            f"is `{shown(dotted)}`, not an IPv4 address", "for example 172.30.0.49"
        ) from None
    if any(parsed in unusable for unusable in _UNUSABLE):
        raise WrongError(
            f"is {parsed}, an address of special use, not a machine's (RFC 6890)",
            "for example 172.30.0.49",
        )
    return parsed


def network(low: int, high: int) -> Callable[[Value], IPv4Network]:
    """Return a parser for a network with a prefix length from `low` to `high`."""

    def parse(value: Value) -> IPv4Network:
        cidr = text(value)
        try:
            loose = IPv4Network(cidr, strict=False)
        except ValueError:
            loose = None
        if loose is None or not re.fullmatch(r"[0-9.]+/[0-9]+", cidr):
            raise WrongError(
                f"is `{shown(cidr)}`, not an IPv4 network",
                "address/prefix length, for example 172.30.0.0/24",
            )
        if str(loose.network_address) != cidr.partition("/")[0]:
            raise WrongError(f"is {cidr}, which has host bits set", f"did you mean {loose}?")
        if not low <= loose.prefixlen <= high:
            raise WrongError(
                f"is {cidr}, a prefix of the wrong length", f"it must be /{low} to /{high}"
            )
        if any(loose.overlaps(unusable) for unusable in _UNUSABLE):
            raise WrongError(
                f"is {cidr}, a range of special use (RFC 6890)", "for example 10.42.0.0/16"
            )
        return loose

    return parse


def one_of(known: tuple[str, ...]) -> Callable[[Value], str]:
    """Return a parser for one of the known names."""

    def parse(value: Value) -> str:
        name = text(value)
        if name not in known:
            raise WrongError(f"has `{shown(name)}`, which is not known", did_you_mean(name, known))
        return name

    return parse


def expectation(value: Value) -> Expectation:
    """Parse an expectation: `outage(api.vip) <= 5s`."""
    try:
        return expectations.parse(text(value))
    except expectations.ExpectationError as error:
        raise WrongError(f"has {error.message}", error.hint) from None


def role(value: Value) -> Role:
    """Parse a node's role: master or worker."""
    name = text(value)
    if name in {Role.MASTER, Role.WORKER}:
        return Role(name)
    hint = did_you_mean(_ROLES_ELSEWHERE.get(name.lower(), name), (Role.MASTER, Role.WORKER))
    if name == Role.LOADBALANCER:
        hint = "a load balancer has its own section `loadbalancer`"
    raise WrongError(f"is `{shown(name)}`, which is not a role", hint)


def file(base: Path) -> Callable[[Value], str]:
    """Return a parser for the path of an existing file, relative to `base`, made absolute.

    Links are not resolved: the user named the link.
    """

    def parse(value: Value) -> str:
        name = text(value)
        path = os.path.abspath(base / Path(name))  # noqa: PTH100 (resolve() would follow links)
        try:
            good = "\0" not in name and Path(path).is_file()
        # A name that is too long or not encodable, or no permission on its folder.
        except (OSError, ValueError):
            good = False
        if not good:
            raise WrongError(
                f"names no file: {shown(path)}",
                "relative paths start from the topology file's folder",
            )
        return path

    return parse
