"""GitHub's expressions, as far as this project's recipes use them; any other is an error.

See https://docs.github.com/en/actions/reference/workflows-and-actions/expressions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
COMPARISON = re.compile(r"(\S+)\s*(==|!=)\s*(?:'([^']*)'|(true|false))")
FUNCTIONS = ("success()", "failure()", "always()")


class UnknownExpression(Exception):
    """An expression that nothing here understands, or that names what is not there."""


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its expressions replaced: `${{ inputs.topology }}`."""
    return EXPRESSION.sub(lambda match: value(match[1], values), text)


def value(name: str, values: Mapping[str, str]) -> str:
    """Return what `steps.cache.outputs.cache-hit` is; an output that no step has set is empty."""
    if name in values:
        return values[name]
    if re.fullmatch(r"steps\.[\w-]+\.outputs\.[\w-]+", name):
        return ""
    raise UnknownExpression(name)


def holds(condition: str, values: Mapping[str, str], *, failed: bool) -> bool:
    """Return whether a step with this `if` runs; `failed`: whether one before it has failed."""
    plain = EXPRESSION.sub(r"\1", condition).strip()
    if plain in FUNCTIONS:
        return {"success()": not failed, "failure()": failed, "always()": True}[plain]
    if not plain:
        return not failed
    match = COMPARISON.fullmatch(plain)
    if match is None:
        raise UnknownExpression(plain)
    same = value(match[1], values) == (match[3] if match[4] is None else match[4])
    return not failed and same is (match[2] == "==")
