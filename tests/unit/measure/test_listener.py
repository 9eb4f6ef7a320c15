from __future__ import annotations

import json

from spoken import M, X, listened

from lab.analysis.history import events as history
from lab.analysis.history.events import Event
from lab.measure.listener import offset, shifted


def test_clocks_of_one_kernel_are_one_and_others_are_compared() -> None:
    row = {"t": 100.0, "boot": "a"}
    assert offset(row, 105.0, "a") == 0.0
    assert offset(row, 105.0, "b") == 5.0
    assert offset({"t": 100.0, "boot": ""}, 105.0, "") == 5.0


def test_lines_become_events() -> None:
    event = shifted({"kind": "probe", "t": 110.5, "end": 110.6, "probe": "a", "ok": None}, -100.0)
    assert event == Event(10.5, "probe", {"end": 10.6, "probe": "a", "ok": None})
    assert next(iter(history.parse([event.line()]))) == event


def test_the_listener_names_holders_and_keeps_the_statistics() -> None:
    lines = [
        {
            "kind": "probe",
            "t": 1.0,
            "end": 1.1,
            "probe": "vip.arp",
            "ok": True,
            "value": [M, X],
            "detail": f"announced by {M}",
        },
        {
            "kind": "op",
            "t": 1.0,
            "end": 1.1,
            "client": "register.vip.1",
            "op": "read",
            "key": "r",
            "outcome": "ok",
        },
        {
            "kind": "watch",
            "t": 1.0,
            "client": "watch.lb",
            "probe": "watch.lb",
            "type": "RESUME",
            "rv": "7",
        },
        {"kind": "stats", "t": 2.0, "cpu": 0.1},
    ]
    listener, written = listened(
        (True, [json.dumps(line).encode() for line in lines]), (False, [b"oh"])
    )
    assert written[0].get("value") == ["m", X]
    assert written[0].get("detail") == "announced by m"
    assert listener.heard == {"vip.arp", "register.vip.1", "watch.lb"}
    assert listener.statistics["cpu"] == 0.1
    assert listener.last == 1.0
    assert (listener.complaints, listener.error, listener.alive) == ("oh", None, False)


def test_an_agent_that_talks_nonsense_is_an_error() -> None:
    assert listened((True, [b"{"]))[0].error is not None
