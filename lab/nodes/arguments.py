"""The user's options beside halab's: `kubernetes.args` in command lines and lists. Pure text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.topology.model import Pairs

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def replaced(own: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return halab's arguments, `name=value`, without those that are given; then the given ones."""
    names = {_name(argument) for argument in given}
    return [*(argument for argument in own if _name(argument) not in names), *given]


def _name(argument: str) -> str:
    return argument.partition("=")[0]


def listed(given: Pairs) -> list[str]:
    """Return options as K3s's lists have them: `name=value`."""
    return [f"{name}={value}" for name, value in given]


def options(given: Pairs) -> list[str]:
    """Return options as arguments of a systemd unit's command line."""
    return [_quoted(f"--{argument}") for argument in listed(given)]


def _quoted(argument: str) -> str:
    """Quote an argument of ExecStart=, `%` and `$` doubled (systemd.service(5), COMMAND LINES)."""
    if _PLAIN.fullmatch(argument):
        return argument
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
