from __future__ import annotations

from histories import plus, without
from judged import check

from lab.analysis.history.events import Event, History


def test_a_watch_that_lost_its_place_is_unknown_and_fails_where_something_was_missed(
    good: History,
) -> None:
    lost = plus(good, Event(11.61, "watch", {"rv": "290", "key": "", "type": "LOST"}))
    assert check("watch", lost).outcome == "unknown"
    assert (
        check(
            "watch",
            without(lost, lambda event: event.kind == "watch" and event.get("key") == "k050"),
        ).outcome
        == "fail"
    )


def test_bookmarks_and_the_end_of_a_watch_are_no_gaps(good: History) -> None:
    newest = max(int(event.get("rv")) for event in good.of("watch") if event.t < 15)
    marks = (
        Event(14.995, "watch", {"rv": str(newest), "key": "", "type": "BOOKMARK"}),
        Event(15.0, "watch", {"rv": "", "key": "", "type": "END"}),
    )
    closed = without(good, lambda event: event.kind == "watch" and event.t > 15)
    assert check("watch", closed).outcome == "fail"
    assert check("watch", plus(closed, *marks)).outcome == "pass"
