"""What changed between two values of JSON: states differ little, and most of it is their end.

A change is a value that replaces the old one, or an object:

{key: change}               for an object with the same keys, or for a list by index
{"+": [drop, keep, tail]}   for a list or a text: `keep` items after the first `drop`, then `tail`
{"=": value}                an object that replaces the old value

page.html has the other half (`patch`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.watch.state import WatchState

DROPS = 3
"""Fewer items than this are dropped at the front: a strip moves on by a cell or two."""
LONG = 32
"""Shorter texts are replaced as a whole."""
PLACES = 3
"""Digits after the point: milliseconds, as journals have them."""


class _Same:
    """Nothing changed; None is a value."""


SAME = _Same()


def plain(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Return a part of a state as JSON has it."""
    if isinstance(value, float):
        return round(value, PLACES)
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return {key: plain(each) for key, each in value.items()}


@dataclass(slots=True)
class PlainStates:
    """Makes JSON of one state after the other; what did not change is not made again."""

    _state: WatchState | None = None
    _made: dict[str, Any] = field(default_factory=dict)

    def of(self, state: WatchState) -> dict[str, Any]:
        """Return a state as JSON has it: the keys of `as_json`, times rounded to milliseconds."""
        before, made = self._state, {}
        for each in fields(state):
            value = getattr(state, each.name)
            same = before is not None and getattr(before, each.name) == value
            made[each.name] = self._made[each.name] if same else plain(value)
        self._state, self._made = state, made
        return made


def difference(old: Any, new: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Return the change that makes `new` of `old`; SAME if they are equal."""
    if old == new:
        return SAME
    if isinstance(new, dict):
        same_keys = isinstance(old, dict) and old.keys() == new.keys()
        return _parts(old, new, list(new)) if same_keys else {"=": new}
    if isinstance(old, list) and isinstance(new, list):
        return _of_lists(old, new)
    if isinstance(old, str) and isinstance(new, str) and len(new) >= LONG:
        return _end(old, new)
    return new


def _parts(old: Any, new: Any, keys: Sequence[Any]) -> dict[str, Any]:  # noqa: ANN401
    changes = {str(key): difference(old[key], new[key]) for key in keys}
    return {key: change for key, change in changes.items() if change is not SAME}


def _of_lists(old: list[Any], new: list[Any]) -> dict[str, Any]:
    end = _end(old, new)
    if end["+"][0] == 0 and len(old) == len(new):
        return _parts(old, new, range(len(new)))
    return end


def _end(old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
    """Return a change that keeps as much of the old front as can be."""
    keeps = [_common(old[drop:], new) for drop in range(DROPS)]
    keep = max(keeps)
    return {"+": [keeps.index(keep), keep, new[keep:]]}


def _common(old: Sequence[Any], new: Sequence[Any]) -> int:
    """Return how many items are the same at the front."""
    if old == new[: len(old)]:
        return len(old)
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
