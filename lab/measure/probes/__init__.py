"""What the instrument asks, in the lab's terms: one file for each question. Pure: topology and secrets → rows of the agent's configuration.

A row with a `question` is a probe and has its `instrument` event; the others (clients that write, read and listen) are seen in `op` and
`watch` events. Rows run in the client container (outside the cluster's nodes, on the lab's network) or in a pod of a node.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Protocol, cast

from lab.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.measure.probe import ProbeContext, ProbeSpec


class Question(Protocol):
    """One file of this folder."""

    summary: str

    def rows(self, ground: ProbeContext) -> tuple[ProbeSpec, ...]:
        """Give what the agent does for it."""


def questions() -> dict[str, Question]:
    """The folder is the list: each module's QUESTION, by the module's name."""
    loaded = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    return {
        name: cast("Question", module.QUESTION)
        for name, module in loaded.items()
        if hasattr(module, "QUESTION")
    }


def rows(ground: ProbeContext, wanted: Iterable[str] | None = None) -> tuple[ProbeSpec, ...]:
    """Give all rows, or those with these names or under these prefixes (`api.vip` means `api.vip.new`, too).

    Raises InputError for a name that means nothing. What reads back at the end comes along with what writes.
    """
    found = [row for question in questions().values() for row in question.rows(ground)]
    if wanted is None:
        return tuple(found)
    words = list(wanted)
    unknown = [word for word in words if not any(_means(word, row) for row in found)]
    if unknown:
        raise InputError(
            f"no probe `{unknown[0]}`", f"known: {', '.join(row.name for row in found)}"
        )
    chosen = [row for row in found if any(_means(word, row) for word in words)]
    writes = any(row.client and row.settings["kind"] in {"create", "register"} for row in chosen)
    return tuple(
        row for row in found if row in chosen or (writes and row.settings["kind"] == "list")
    )


def _means(word: str, row: ProbeSpec) -> bool:
    return row.name == word or row.name.startswith(f"{word}.")
