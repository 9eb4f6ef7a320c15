"""Synthetic histories with known truths: a crash that went well, and parts to break it with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event, History, history

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERVAL = 0.02
LENGTH = 30.0
FIRE, HEAL = 10.0, 20.0
VIP_BACK = 11.5
API = {"api.vip.new": VIP_BACK, "api.vip.kept": 12.0, "api.lb.new": 10.4, "write.vip.new": 11.6}
"""Probe → when it answers again."""
TIMES = tuple(round(step * INTERVAL, 6) for step in range(int(LENGTH / INTERVAL)))


def instrument(probe: str, interval: float = INTERVAL, timeout: float = 0.5) -> Event:
    connection = {"new": "new", "kept": "kept"}.get(probe.rsplit(".", maxsplit=1)[-1], "none")
    data = {
        "probe": probe,
        "question": f"GET /readyz ({probe})",
        "interval": interval,
        "timeout": timeout,
        "connection": connection,
    }
    return Event(0.0, "instrument", data)


def sample(probe: str, t: float, ok: bool | None, took: float = 0.003, **values: Any) -> Event:  # noqa: FBT001 (a value, no switch)
    return Event(t, "probe", {"probe": probe, "end": round(t + took, 6), "ok": ok, **values})


def sampled(
    probe: str, gap: tuple[float, float], times: Iterable[float] = TIMES, timeout: float = 0.5
) -> list[Event]:
    """Samples of a service that is out in the gap: who asks then gets no answer in time."""
    rows = [instrument(probe, timeout=timeout)]
    for t in times:
        out = gap[0] <= t < gap[1]
        rows.append(
            sample(
                probe,
                t,
                not out,
                timeout if out else 0.003,
                **({"detail": "timed out"} if out else {}),
            )
        )
    return rows


def observed(probe: str, value: Callable[[float], Any], interval: float = 0.1) -> list[Event]:
    """Samples of an observer; a value of None means that nobody answered."""
    times = [round(step * interval, 6) for step in range(int(LENGTH / interval))]
    rows = [instrument(probe, interval)]
    for t in times:
        found = value(t)
        rows.append(
            sample(
                probe, t, found is not None, 0.002, **({} if found is None else {"value": found})
            )
        )
    return rows


def member(
    name: str, term: int, leads: Callable[[float], tuple[int, str] | None]
) -> Callable[[float], Any]:
    """What etcd's member says of itself; `leads` gives term and leader, None while it is dead."""

    def value(t: float) -> Any:
        state = leads(t)
        return (
            None
            if state is None
            else {"leader": state[1] == name, "term": state[0], "member": f"id-{name}"}
        )

    return value


def _etcd() -> list[Event]:
    def leads(t: float) -> tuple[int, str]:
        return (2, "m") if t < FIRE else (2, "nobody") if t < 10.9 else (3, "m3")

    rows = observed("etcd.m", member("m", 2, lambda t: None if FIRE <= t < HEAL + 2 else leads(t)))
    return (
        rows
        + observed("etcd.m2", member("m2", 2, leads))
        + observed("etcd.m3", member("m3", 2, leads))
    )


def ops() -> list[Event]:
    """One client creates keys and rewrites and reads a register; in the outage none answers."""
    rows, last = [], None
    for number in range(250):
        t = round(0.5 + number * 0.1, 6)
        out = FIRE <= t < 11.6
        end, outcome = (t + 0.5, "unknown") if out else (t + 0.01, "ok")
        key = f"k{number:03}"
        rows.append(
            Event(
                t,
                "op",
                {
                    "client": "a",
                    "op": "create",
                    "key": key,
                    "value": number,
                    "end": end,
                    "outcome": outcome,
                },
            )
        )
        if number % 2 == 0:
            rows.append(
                Event(
                    t + 0.02,
                    "op",
                    {
                        "client": "b",
                        "op": "write",
                        "key": "r",
                        "value": number,
                        "end": end + 0.02,
                        "outcome": outcome,
                    },
                )
            )
            last = last if out else number
        elif not out and not 11.6 <= t < 11.9:
            rows.append(
                Event(
                    t + 0.02,
                    "op",
                    {
                        "client": "c",
                        "op": "read",
                        "key": "r",
                        "value": last,
                        "end": end + 0.02,
                        "outcome": "ok",
                    },
                )
            )
    there = {
        row.get("key"): row.get("value")
        for row in rows
        if row.get("op") == "create" and row.get("outcome") == "ok"
    }
    final = {
        "client": "a",
        "op": "list",
        "key": "",
        "value": {**there, "r": last},
        "end": 28.1,
        "outcome": "ok",
    }
    return [*rows, Event(28.0, "op", final)]


def watch(creates: Iterable[Event]) -> list[Event]:
    rows = [Event(0.1, "watch", {"rv": "100", "key": "", "type": "RESUME"})]
    for number, op in enumerate(
        op for op in creates if op.get("op") == "create" and op.get("outcome") == "ok"
    ):
        rows.append(
            Event(
                op.end + 0.005,
                "watch",
                {
                    "rv": str(101 + number * 2),
                    "key": op.get("key"),
                    "type": "ADDED",
                    "value": op.get("value"),
                },
            )
        )
    return [*rows, Event(11.62, "watch", {"rv": "290", "key": "", "type": "RESUME"})]


def _crash(t: float, action: str, detail: str = "") -> Event:
    about = {"id": "f1", "fault": "crash", "node": "m", "word": "@vip-holder"}
    return Event(t, "fault", {"action": action, **about, "detail": detail})


def good() -> History:
    """The master m holds the VIP and leads etcd; it crashes at 10 s, is fenced, is healed at 20 s.

    Everything is as it should be.
    """
    rows = [
        Event(
            0.0,
            "run",
            {
                "lab": "3m3w",
                "scenario": "crash of the VIP holder",
                "distribution": "upstream",
                "versions": {"kubernetes": "v1.36.3", "etcd": "3.6.14", "halab": "0.1.0"},
                "seed": 7,
                "wall": "2026-11-24T11:00:00+00:00",
                "topology": {},
            },
        ),
        Event(9.0, "step", {"index": 1, "text": "crash @vip-holder", "state": "begin"}),
        _crash(FIRE, "fire"),
        _crash(10.1, "proof", "container exited"),
        _crash(HEAL, "heal"),
        _crash(22.0, "healed"),
        Event(22.0, "step", {"index": 1, "text": "crash @vip-holder", "state": "end"}),
        Event(
            10.5,
            "log",
            {
                "node": "m2",
                "unit": "corosync",
                "what": "membership",
                "text": "[TOTEM ] A new membership (1.2a) was formed. Members left: 1",
            },
        ),
        Event(
            10.8,
            "log",
            {
                "node": "m2",
                "unit": "pacemaker-controld",
                "what": "fenced",
                "text": "notice: Peer m was terminated (off) by m2 on behalf of"
                " pacemaker-controld.2@m2: OK | event=1",
            },
        ),
        Event(
            11.3,
            "log",
            {
                "node": "m2",
                "unit": "pacemaker-controld",
                "what": "vip-start",
                "text": "notice: Result of start operation for FAILOVER-ADDR on m2: OK",
            },
        ),
    ]
    for probe, back in API.items():
        rows += sampled(probe, (FIRE, back))
    rows += observed(
        "vip.arp", lambda t: ["m"] if t < FIRE else [] if t < 11.4 else ["m2"], INTERVAL
    )
    rows += _etcd()
    rows += observed(
        "nodes",
        lambda t: {"m": "NotReady" if 18 <= t < 23 else "Ready", "m2": "Ready", "w1": "Ready"},
        0.5,
    )
    rows += observed(
        "endpoints", lambda t: ["10.42.0.2", "10.42.1.2"] if t < 18.2 else ["10.42.1.2"]
    )
    stay, new = {"node": "w1", "ready": True}, {"node": "w1", "ready": True}
    rows += observed(
        "pods",
        lambda t: {
            "a": {"node": "m", "ready": t < 18},
            "b": stay,
            **({"c": new} if t > 19 else {}),
        },
    )
    made = ops()
    return history([*rows, *made, *watch(made)])


def without(found: History, drop: Callable[[Event], bool]) -> History:
    """A history in which some events never were."""
    return History(tuple(event for event in found.events if not drop(event)))


def changed(found: History, change: Callable[[Event], dict[str, Any] | None]) -> History:
    """A history in which some events differ: `change` gives values to put over theirs, or None."""
    return history(
        replace(event, data={**event.data, **put}) if (put := change(event)) is not None else event
        for event in found.events
    )


def plus(found: History, *events: Event) -> History:
    """A history with more in it."""
    return history([*found.events, *events])
