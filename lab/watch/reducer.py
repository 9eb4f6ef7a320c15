"""Events in, what is shown out: the same for a live lab and for a run that is over.

Pure: it reads no clock and asks nobody. Beside the kinds of a history (lab/analysis/history/
events.py) it takes what only a live feed has:

machine     a machine's state in the engine: node, state (running, paused, exited, missing, …;
            "": the engine does not answer)
power       what a machine's baseboard controller says: node, power (on, off, no answer)
cluster     what a master's Corosync says: node, members (names); ok: false: no answer
dc          Pacemaker's designated controller: name
pods        pods: a list of {name, namespace, node, state}
problem     what (who cannot be asked), text ("" once it can be again)
measuring   text: who samples
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Literal

from lab.analysis.history import leader_terms, vip_holders
from lab.measure.probe import SPACE
from lab.watch.judgement import judge
from lab.watch.lab_shape import LabShape, shape_of_run
from lab.watch.machines import Machines
from lab.watch.masters import TARGET, Membership, Quorum
from lab.watch.state import (
    STALE_S,
    FaultSpan,
    PodState,
    VipState,
    WatchState,
    pod_state,
)
from lab.watch.strip_chart import StripChart, is_observer
from lab.watch.tape import EventTape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.analysis.history.events import Event
    from lab.watch.state import TapeEntry

PODS_STALE_S = 20.0
"""So long ago listed, pods are unknown: twice a live feed's PODS_S."""
EMPTY = 2
"""So many empty answers in a row mean that nobody has the address: one may be a lost packet."""
CELLS, WINDOW_CELL_S = 240, 0.5
"""A view's cells unless the caller says otherwise: two minutes."""
JOURNAL_S = 0.001
"""Resolution of a journal's time stamps."""
LOGGED = {
    "token-lost": "Corosync lost a token",
    "membership": "new membership",
    "quorum": "quorum",
    "fencing": "fencing begins",
    "fenced": "fenced",
    "not-fenced": "fencing failed",
    "vip-start": "Pacemaker starts the VIP",
    "vip-stop": "Pacemaker stops the VIP",
}
"""Milestones of journals that the tape shows; etcd's leader is reported by its members."""
STATE = re.compile(r"(\S+) is (running|paused|exited)")
"""What proves a fault of a machine (lab/chaos/faults/machine.py)."""


class Reducer:
    """What is known of a lab after the events so far."""

    def __init__(
        self, shape: LabShape, source: Literal["live", "replay"] = "live", wall: float = 0.0
    ) -> None:
        """Begin with nothing known. `wall` is the POSIX time of the events' zero."""
        self.shape = shape
        self._source = source
        self._wall = wall
        self._chart = StripChart()
        self._machines = Machines(shape)
        self._membership = Membership(shape)
        self._quorum = Quorum(shape)
        self._holders: tuple[str, ...] | None = None
        self._before: tuple[str, ...] = ()
        self._held_since: float | None = None
        self._asked_vip = float("-inf")
        self._empty = 0
        self._faults: dict[str, FaultSpan] = {}
        self._pods: tuple[PodState, ...] = ()
        self._pods_at = float("-inf")
        self._tape = EventTape()
        self._measuring = ""
        self._problems: dict[str, str] = {}
        self._last = 0.0
        self._kinds: dict[str, Callable[[Event], None]] = {
            "run": self._run,
            "instrument": self._instrument,
            "agent": self._agent,
            "probe": self._probe,
            "fault": self._fault,
            "log": self._log,
            "step": self._step,
            "machine": self._machine,
            "power": self._power,
            "cluster": self._cluster,
            "dc": self._dc,
            "pods": self._take_pods,
            "problem": self._problem,
            "measuring": self._take_measuring,
        }

    @property
    def wall(self) -> float:
        """The POSIX time of the events' zero."""
        return self._wall

    @property
    def tape(self) -> tuple[TapeEntry, ...]:
        """The tape so far, the newest last."""
        return self._tape.entries

    @property
    def changes(self) -> int:
        """Counts what nobody should wait for: what is on the tape, and rows that turn."""
        return self._tape.noted + self._chart.turns

    def feed(self, event: Event) -> None:
        """Take in an event. Kinds that are not shown (op, watch) are passed over."""
        self._last = max(self._last, event.end)
        take = self._kinds.get(event.kind)
        if take is not None:
            take(event)

    def view(
        self, now: float | None = None, cells: int = CELLS, cell_s: float = WINDOW_CELL_S
    ) -> WatchState:
        """Return what is shown at a moment, by default that of the last event.

        The strips have `cells` cells of `cell_s` seconds, a multiple of strip_chart.CELL_S.
        """
        at = self._last if now is None else now
        begin = (int(at // cell_s) + 1 - cells) * cell_s
        strips = self._chart.strips(at, begin, cells, cell_s)
        vip = self._vip(at)
        etcd = self._quorum.state(at)
        corosync = self._membership.state(at)
        active = tuple(fault for fault in self._faults.values() if fault.end is None)
        nodes = self._machines.states(at, active)
        out = [strip for strip in strips if strip.outage is not None]
        health, why = judge(self.shape, self._chart, at, nodes, vip, etcd, corosync, active)
        worst = max(strips, key=lambda strip: strip.longest, default=None)
        return WatchState(
            lab=self.shape.name,
            source=self._source,
            now=at,
            wall=self._wall + at,
            health=health,
            why=why,
            begin=begin,
            cell_s=cell_s,
            strips=strips,
            faults=tuple(
                fault
                for fault in self._faults.values()
                if fault.begin <= at and (fault.end is None or fault.end >= begin)
            ),
            outage=max(out, key=lambda strip: strip.outage or 0.0).name if out else "",
            longest=worst.name if worst and worst.longest > 0 else "",
            vip=vip,
            etcd=etcd,
            corosync=corosync,
            nodes=nodes,
            pods=self._troubled_pods(at, {node.name for node in nodes if not node.good}),
            tape=self._tape.entries,
            measuring=self._measuring,
            problems=tuple(self._all_problems(at)),
        )

    # --- a history's kinds ---

    def _run(self, event: Event) -> None:
        if not self.shape.machines:
            self.shape = shape_of_run(event.data)
            self._machines = Machines(self.shape)
            self._membership = Membership(self.shape)
            self._quorum = Quorum(self.shape)
        self._membership.assume_whole(event.t)
        self._tape.note(event.t, "step", "", f"run of {event.get('scenario') or 'a scenario'}")

    def _instrument(self, event: Event) -> None:
        interval = float(event.get("interval") or 0)
        self._chart.expect(str(event.get("probe")), interval, str(event.get("question") or ""))

    def _agent(self, event: Event) -> None:
        if event.get("state") == "begin" and self._source == "replay":
            self._measuring = "the run's instrument"
        elif event.get("state") == "end":
            self._measuring = ""

    def _probe(self, event: Event) -> None:
        probe = str(event.get("probe"))
        if probe == vip_holders.PROBE:
            self._arp(event)
        elif probe == "nodes":
            self._kubernetes(event)
        elif probe == "pods":
            self._own_pods(event)
        elif probe.startswith(f"{leader_terms.PREFIX}."):
            self._etcd(event, probe.partition(".")[2])
        elif not is_observer(probe):
            change = self._chart.feed(event)
            if change is not None:
                t, what, text = change
                self._tape.note(t, what, "", text)

    def _arp(self, event: Event) -> None:
        if event.get("ok") is None:
            return
        self._asked_vip = event.end
        holders = vip_holders.holders(event)
        self._empty = 0 if holders else self._empty + 1
        if holders == self._holders or (not holders and self._empty < EMPTY):
            return
        known, self._before = self._holders is not None, self._holders or self._before
        self._holders, self._held_since = holders, event.t
        if known:
            who = " and ".join(holders) or "nobody"
            mark = "TWO HOLDERS: " if len(holders) > 1 else ""
            self._tape.note(
                event.t, "vip", "", f"{mark}{who} answers for the VIP", event.end - event.t
            )

    def _kubernetes(self, event: Event) -> None:
        for node, text in self._machines.take_kubernetes(event):
            self._tape.note(event.t, "node", node, text)

    def _own_pods(self, event: Event) -> None:
        """Take in the test Service's pods, which a run's instrument lists."""
        value = event.get("value")
        if event.get("ok") is True and isinstance(value, dict):
            self._pods_at = event.end
            self._pods = tuple(
                PodState(
                    name=str(name),
                    namespace=SPACE,
                    node=str(row.get("node") or ""),
                    state=pod_state(
                        str(row.get("phase") or ""),
                        ready=bool(row.get("ready")),
                        deleting=bool(row.get("deleting")),
                    ),
                )
                for name, row in value.items()
            )

    def _etcd(self, event: Event, node: str) -> None:
        if text := self._quorum.feed(event, node):
            self._tape.note(event.t, "leader", node, text)

    def _fault(self, event: Event) -> None:
        key, node = str(event.get("id")), str(event.get("node") or "")
        name, action = str(event.get("fault") or ""), event.get("action")
        known = self._faults.get(key)
        if action == "fire" and (known is None or known.end is not None):
            self._keep_healed(key)
            self._faults[key] = FaultSpan(id=key, fault=name, node=node, begin=event.t, end=None)
            self._tape.note(event.t, "fault", node, f"fault {name} on {node}")
        elif action == "healed" and known is not None and known.end is None:
            self._faults[key] = FaultSpan(
                id=key, fault=name, node=node, begin=known.begin, end=event.t
            )
            self._tape.note(event.t, "healed", node, f"{name} on {node} is healed")
        if self._source == "replay":
            self._infer(event, node)

    def _keep_healed(self, key: str) -> None:
        """Make room for a fault that is on again: its span before stays in the window."""
        if known := self._faults.pop(key, None):
            self._faults[f"{key} until {known.end}"] = known

    def _infer(self, event: Event, node: str) -> None:
        """Take a machine's state from what a fault proved: a history has none from the engine."""
        state = STATE.fullmatch(str(event.get("detail") or ""))
        if event.get("action") == "proof" and state and state[1] == node:
            self._set_machine(event.t, node, state[2])
        elif event.get("action") == "healed":
            self._set_machine(event.t, node, "running")

    def _set_machine(self, t: float, node: str, state: str, resolution: float = 0.0) -> None:
        if text := self._machines.take_machine(t, node, state):
            self._tape.note(t, "machine", node, text, resolution)
        if state != "running":
            self._membership.silence(t, node)
            self._chart.lose(node)

    def _log(self, event: Event) -> None:
        what, node = str(event.get("what")), str(event.get("node") or "")
        text = str(event.get("text") or "")
        self._membership.take_log(event)
        if what not in LOGGED:
            return
        match = TARGET.search(text)
        about = match[1] if match else node
        message = f"{LOGGED[what]}: {about}" if match else f"{LOGGED[what]} (told by {node})"
        if what == "quorum":
            message = f"{node} has no quorum" if "non-primary" in text else f"{node} has quorum"
        if not self._tape.has(event.t, what, about if match else ""):
            self._tape.note(
                event.t, what, about, message, float(event.get("resolution") or JOURNAL_S)
            )

    def _step(self, event: Event) -> None:
        state, text = event.get("state"), event.get("text")
        if state in {"begin", "failed"}:
            failed = f" failed: {event.get('detail')}" if state == "failed" else ""
            self._tape.note(event.t, "step", "", f"step {event.get('index')}: {text}{failed}")

    # --- a live feed's kinds ---

    def _machine(self, event: Event) -> None:
        node, state = str(event.get("node")), str(event.get("state") or "")
        self._set_machine(event.t, node, state, float(event.get("resolution") or 0))

    def _power(self, event: Event) -> None:
        node, power = str(event.get("node")), str(event.get("power") or "")
        if self._machines.take_power(node, power):
            self._tape.note(event.t, "power", node, f"power of {node}: {power}")

    def _cluster(self, event: Event) -> None:
        node = str(event.get("node"))
        if event.get("ok") is False:
            self._membership.silence(event.t, node)
        else:
            members = tuple(map(str, event.get("members") or ()))
            self._membership.take(event.t, node, members)

    def _dc(self, event: Event) -> None:
        self._membership.dc = str(event.get("name") or "")

    def _take_pods(self, event: Event) -> None:
        keys = ("name", "namespace", "node", "state")
        self._pods_at = event.end
        self._pods = tuple(
            PodState(**{key: str(row.get(key) or "") for key in keys})
            for row in event.get("pods") or ()
        )

    def _problem(self, event: Event) -> None:
        what, text = str(event.get("what")), str(event.get("text") or "")
        if text:
            self._problems[what] = text
        else:
            self._problems.pop(what, None)

    def _take_measuring(self, event: Event) -> None:
        self._measuring = str(event.get("text") or "")

    # --- views ---

    def _vip(self, now: float) -> VipState:
        stale = now - self._asked_vip > STALE_S
        return VipState(
            address=self.shape.vip,
            holders=None if stale else self._holders,
            since=None if stale else self._held_since,
            before=self._before,
        )

    def _all_problems(self, now: float) -> Iterator[str]:
        for what, text in self._problems.items():
            yield f"{what}: {text}"
        if self._source == "live" and isfinite(self._pods_at) and self._pods_are_old(now):
            yield "pods: nobody lists them now"

    def _pods_are_old(self, now: float) -> bool:
        return now - self._pods_at > PODS_STALE_S

    def _troubled_pods(self, now: float, troubled: set[str]) -> tuple[PodState, ...]:
        """Return the pods of nodes in trouble, and those that are not ready elsewhere."""
        if self._pods_are_old(now):
            return ()
        return tuple(pod for pod in self._pods if pod.node in troubled or pod.state != "Ready")
