"""Who answered for the floating address, and when more than one did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.history.series import Span, bad_spans, series

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History


PROBE = "vip.arp"


def holders(sample: Event) -> tuple[str, ...]:
    """Return the nodes (or MAC addresses) that answered, each once, in order."""
    value = sample.get("value")
    return tuple(sorted({str(each) for each in value})) if isinstance(value, list | tuple) else ()


def overlaps(history: History) -> tuple[Span, ...]:
    """Return from when to when more than one node answered.

    One such sample is an overlap already: no other reading of it exists.
    """
    found = series(history, PROBE).get(PROBE)
    if found is None:
        return ()
    return tuple(
        bad_spans(found.points(lambda sample: len(holders(sample)) <= 1), found.interval, lasting=1)
    )
