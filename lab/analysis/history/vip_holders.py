"""Which node answered for the floating address, and when more than one did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.history.series import Span, bad_spans, series

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History


PROBE = "vip.arp"


def holders(sample: Event) -> tuple[str, ...]:
    """Return the nodes (or MAC addresses) that answered, each once, sorted."""
    value = sample.get("value")
    return tuple(sorted({str(each) for each in value})) if isinstance(value, list | tuple) else ()


def overlaps(history: History) -> tuple[Span, ...]:
    """Return the spans in which more than one node answered.

    A single such sample counts: it cannot mean anything else.
    """
    arp = series(history, PROBE).get(PROBE)
    if arp is None:
        return ()
    return tuple(
        bad_spans(arp.points(lambda sample: len(holders(sample)) <= 1), arp.interval, lasting=1)
    )
