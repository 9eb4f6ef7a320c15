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


def test_a_lab_is_steady_although_one_probe_could_not_ask_until_shortly_before(
    good: History,
) -> None:
    """A crashed worker's own pods ask nothing while it is off, which may be most of a run."""
    late = without(good, lambda event: probe(event, "api.lb.new", 1.0, 25.0))
    assert check("steady", late).outcome == "pass"
    assert check("outage", late).outcome == "unknown"
