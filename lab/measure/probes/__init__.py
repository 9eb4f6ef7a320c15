"""What the instrument asks, in the lab's terms: one file for each question. Pure.

A question turns the topology into entries of the agent's configuration (ProbeSpec). An entry with a
`question` is a probe and has its `instrument` event. The others, clients that write, read and
listen, appear in `op` and `watch` events. Probes run in the agent's container (on the lab's
network, outside the cluster's nodes) or in a pod of a node.
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

    def rows(self, context: ProbeContext) -> tuple[ProbeSpec, ...]:
        """Return what the agent does for it."""


def questions() -> dict[str, Question]:
    """Return each module's QUESTION, by the module's name: the folder is the list."""
    modules = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    return {
        name: cast("Question", module.QUESTION)
        for name, module in modules.items()
        if hasattr(module, "QUESTION")
    }


def rows(context: ProbeContext, names: Iterable[str] | None = None) -> tuple[ProbeSpec, ...]:
    """Return all probes, or those with these names or prefixes.

    `api.vip` includes `api.vip.new`. With what writes comes what reads back at the end. Raises
    InputError for an unknown name.
    """
    every = [row for question in questions().values() for row in question.rows(context)]
    if names is None:
        return tuple(every)
    chosen = list(names)
    unknown = [name for name in chosen if not any(_means(name, row) for row in every)]
    if unknown:
        raise InputError(
            f"no probe `{unknown[0]}`", f"known: {', '.join(row.name for row in every)}"
        )
    return _with_readers([row for row in every if any(_means(name, row) for name in chosen)], every)


def _means(name: str, row: ProbeSpec) -> bool:
    return row.name == name or row.name.startswith(f"{name}.")


def _with_readers(chosen: list[ProbeSpec], every: list[ProbeSpec]) -> tuple[ProbeSpec, ...]:
    """Add what reads back at the end, if anything writes."""
    kinds = {row.settings["kind"] for row in chosen if row.client}
    if not kinds & {"create", "register"}:
        return tuple(chosen)
    return tuple(row for row in every if row in chosen or row.settings["kind"] == "list")
