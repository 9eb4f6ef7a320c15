from __future__ import annotations

import json

import pytest

from lab.measure.journal_events import Entry, entries, events, milestone, timeline

SPOKEN = {
    (
        "corosync",
        (
            "[TOTEM ] A processor failed, forming new configuration: "
            "token timed out (1000ms), waiting 1200ms for consensus."
        ),
    ): "token-lost",
    ("corosync", "[TOTEM ] A new membership (1.31) was formed. Members left: 1"): "membership",
    (
        "pacemaker-fenced",
        "notice: Operation 'off' [4] targeting m by m2 for pacemaker-controld.7@m2: OK (complete)",
    ): "fenced",
    (
        "pacemaker-controld",
        (
            "notice: Peer m was terminated (off) by m2 on behalf of pacemaker-controld.7@m2: "
            "OK | event=1"
        ),
    ): "fenced",
    (
        "pacemaker-controld",
        (
            "notice: Peer m was terminated (off) by m2 on behalf of pacemaker-controld.7@m2: "
            "No route to host"
        ),
    ): "",
    (
        "IPaddr2(FAILOVER-ADDR)",
        (
            "INFO: Adding inet address 172.30.20.50/32 "
            "with broadcast address 172.30.20.255 to device eth0"
        ),
    ): "vip-start",
    (
        "pacemaker-controld",
        "notice: Result of start operation for FAILOVER-ADDR on m3: OK",
    ): "vip-start",
    ("pacemaker-controld", "notice: Result of start operation for apiserver-health on m3: OK"): "",
    ("pacemaker-controld", "notice: State transition S_TRANSITION_ENGINE -> S_IDLE"): "dc-idle",
    ("etcd", '{"level":"info","msg":"raft.node: 1 elected leader 2 at term 3"}'): "leader",
    ("sh", "A new membership (1.31) was formed."): "",
}


@pytest.mark.parametrize(("who", "text"), SPOKEN)
def test_milestones(who: str, text: str) -> None:
    assert milestone(Entry(1.0, "m", who, f"{who}.service", text)) == SPOKEN[who, text]


def test_journals_become_events_and_a_time_line() -> None:
    rows = [
        {
            "__MONOTONIC_TIMESTAMP": "101500000",
            "SYSLOG_IDENTIFIER": "corosync",
            "MESSAGE": "[TOTEM ] A new membership (1.31) was formed. Members",
        },
        {
            "__MONOTONIC_TIMESTAMP": "99000000",
            "SYSLOG_IDENTIFIER": "corosync",
            "MESSAGE": "[TOTEM ] A new membership (1.2d) was formed. Members",
        },
        {"__MONOTONIC_TIMESTAMP": "101000000", "_COMM": "odd", "MESSAGE": [104, 105, 10, 255]},
        {"MESSAGE": "without a time"},
    ]
    found = list(entries("m", [*map(json.dumps, rows), '{"cut off']))
    assert [entry.who for entry in found] == ["corosync", "corosync", "odd"]
    assert [(event.t, event.get("what"), event.get("node")) for event in events(found, 100.0)] == [
        (1.5, "membership", "m")
    ]
    lines = timeline(found, 100.0).splitlines()
    assert len(lines) == 3
    assert lines[0].strip().startswith("-1.000000 m")
    assert "hi\\n" in lines[1]
