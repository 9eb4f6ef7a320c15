from __future__ import annotations

from typing import TYPE_CHECKING

from histories import without
from judged import check, probe

if TYPE_CHECKING:
    from lab.analysis.history.events import History


def test_an_instrument_that_died_is_not_steady_but_unknown(good: History) -> None:
    short = without(good, lambda event: probe(event, "api.lb.new", 25.0))
    assert check("steady", short).outcome == "unknown"
    assert check("outage", short).outcome == "unknown"
