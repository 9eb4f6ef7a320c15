"""Asks by commands in pods, on a schedule like the agent's, from this process.

The agent is in a container of its own and cannot reach the nodes' container runtimes; the engine
can. A command costs 0.1 s of a core on the node, and as much of the engine (measured), so it is run
once a second at most.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.analysis.history.events import Event
from lab.base.errors import InputError, LabError
from lab.measure.pod_command import NOT_THERE, TIMED_OUT, PodCommand, PodRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lab.engine.commands import Result
    from lab.live.lab import Lab
    from lab.measure.probe import ProbeSpec

KEY = "{key}"
"""What stands for the key in a command."""
TICK_S = 0.02
"""How often finished commands are looked for."""
MOST = 32
"""Commands that may hang at once: one on a node that was frozen meanwhile hangs for half a
minute."""
READ_S = 25.0
"""For reading everything back."""
READ_ONE_S = 5.0
READ_PAUSE_S = 0.5
DETAIL = 120
"""So many characters of a command's last line are kept."""


@dataclass(slots=True)
class _Pending:
    """A command that was begun."""

    begin: float
    key: str
    result: Result | None = None
    error: str = ""
    end: float = 0.0

    @property
    def over(self) -> bool:
        return self.end > 0


@dataclass(slots=True)
class PodAsker:
    """One probe, or one client that writes: a thread that runs its command on a schedule.

    Times in the history are seconds since `begin`, on this process's monotonic clock.
    """

    row: ProbeSpec
    runtime: PodRuntime
    begin: float
    write: Callable[[Iterable[Event]], None]
    acked: list[str] = field(default_factory=list)
    """The keys whose write ended with 0, in time."""
    heard: bool = False
    """Whether there is a sample yet."""
    _pending: list[_Pending] = field(default_factory=list)
    _hanging: list[threading.Thread] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def command(self) -> PodCommand:
        """What is run to ask, or to write."""
        command: PodCommand = self.row.settings["command"]
        return command

    @property
    def read(self) -> PodCommand | None:
        """What is run to read back; None for a probe."""
        return self.row.settings.get("read")

    def require_pod(self) -> None:
        """Raise InputError if the pod runs on no node: a mistyped name would be one long outage."""
        try:
            self.runtime.locate(self.command)
        except LabError as error:
            pod = f"{self.command.namespace}/{self.command.pod}"
            raise InputError(
                f"{pod}: {error.message}", "apply it first, or correct the name"
            ) from None

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._work, name="halab-pod-asker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End asking; wait for what is asked, no longer than its time-out."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        slot, due = 0, time.monotonic()
        while not self._stop.wait(TICK_S):
            self._collect()
            now = time.monotonic()
            if now < due:
                continue
            late = now - due > self.row.interval
            self._fire(slot, due, late=late)
            slot, due = slot + 1, due + self.row.interval
        while self._pending:
            time.sleep(TICK_S)
            self._collect()

    def _fire(self, slot: int, due: float, *, late: bool) -> None:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if late or len(self._hanging) >= MOST:
            why = "late" if late else "busy"
            self.write([self._sample(due, due, None, why)])
            return
        # Of one length, so that none is a part of another.
        key = f"{self.row.settings['prefix']}{slot:06d}" if self.read else ""
        pending = _Pending(time.monotonic(), key)
        thread = threading.Thread(target=self._run, args=(pending,), daemon=True)
        self._pending.append(pending)
        self._hanging.append(thread)
        thread.start()

    def _run(self, pending: _Pending) -> None:
        argv = with_key(self.command.argv, pending.key)
        try:
            pending.result = self.runtime.run(self.command, argv, self.row.timeout)
        except LabError as error:
            pending.error = error.message
        pending.end = time.monotonic()

    def _collect(self) -> None:
        """Record the commands that ended, and give up those that take longer than the time-out."""
        for pending in list(self._pending):
            limit = pending.begin + self.row.timeout
            if not pending.over and time.monotonic() < limit:
                continue
            self._pending.remove(pending)
            in_time = pending.over and pending.end <= limit
            end = pending.end if in_time else limit
            why = _detail(pending) if in_time else "timeout"
            self.write(self._events(pending, end, why))
            self.heard = True

    def _events(self, pending: _Pending, end: float, why: str) -> list[Event]:
        ok = not why
        events = [self._sample(pending.begin, end, ok, why)]
        if pending.key:
            if ok:
                self.acked.append(pending.key)
            outcome = "ok" if ok else _outcome(pending)
            more = {"value": pending.key, "outcome": outcome, **_detail_of(why)}
            events.append(self._operation("create", pending.begin, end, key=pending.key, **more))
        return events

    def _sample(self, begin: float, end: float, ok: bool | None, why: str) -> Event:  # noqa: FBT001 (a sample's own word)
        data = {"probe": self.row.probe or self.row.name, "end": round(end - self.begin, 6)}
        return Event(begin - self.begin, "probe", {**data, "ok": ok, **_detail_of(why)})

    def _operation(self, op: str, begin: float, end: float, **values: Any) -> Event:  # noqa: ANN401 (any JSON value)
        data = {"client": self.row.name, "op": op, "end": round(end - self.begin, 6)}
        return Event(begin - self.begin, "user_op", {**data, **values})

    # --- reading back ---

    def read_back(self) -> None:
        """Read what was acknowledged: each key by itself where the command has one, else all.

        It takes READ_S and one more try at most; what was not read until then is unknown.
        """
        command, deadline = self.read, time.monotonic() + READ_S
        if command is None or not self.acked:
            return
        if not any(KEY in part for part in command.argv):
            self._read(command, "list", "", deadline)
            return
        for key in self.acked:
            self._read(command, "read", key, deadline)

    def _read(self, command: PodCommand, op: str, key: str, deadline: float) -> None:
        """Run a command until it ends with 0; what it prints says what is there."""
        argv = with_key(command.argv, key)
        named = {"key": key} if key else {}
        begin, why = time.monotonic(), "no time was left"
        while time.monotonic() < deadline:
            begin = time.monotonic()
            printed, why = self._printed(command, argv)
            if not why:
                value = {"value": self._there(op, key, printed)}
                more = {**named, **value, "outcome": "ok"}
                self.write([self._operation(op, begin, time.monotonic(), **more)])
                return
            time.sleep(READ_PAUSE_S)
        more = {**named, "outcome": "unknown", **_detail_of(why)}
        self.write([self._operation(op, begin, time.monotonic(), **more)])

    def _printed(self, command: PodCommand, argv: Sequence[str]) -> tuple[str, str]:
        """Return what a command printed, and why it failed; empty if it did not."""
        try:
            result = self.runtime.run(command, argv, READ_ONE_S)
        except LabError as error:
            return "", error.message
        return result.output, _failure(result)

    def _there(self, op: str, key: str, printed: str) -> str | list[str] | None:
        if op == "list":
            return [each for each in self.acked if each in printed]
        return key if key in printed else None


def started(
    rows: Sequence[ProbeSpec], lab: Lab, begin: float, write: Callable[[Iterable[Event]], None]
) -> tuple[PodAsker, ...]:
    """Start an asker for each row; raise InputError if the pod of one runs nowhere.

    Workers are searched first: most pods are there.
    """
    if not rows:
        return ()
    topology = lab.topology
    nodes = [lab.node(node.name) for node in (*topology.workers, *topology.masters)]
    askers = tuple(PodAsker(row, PodRuntime(nodes), begin, write) for row in rows)
    for asker in askers:
        asker.require_pod()
    for asker in askers:
        asker.start()
    return askers


def with_key(argv: Sequence[str], key: str) -> list[str]:
    """Return a command with a key in its place."""
    return [part.replace(KEY, key) for part in argv] if key else list(argv)


def _detail_of(why: str) -> dict[str, str]:
    return {"detail": why} if why else {}


def _detail(pending: _Pending) -> str:
    """Return why a command that ended failed; empty if it did not."""
    if pending.result is None:
        return pending.error or NOT_THERE
    return _failure(pending.result)


def _failure(result: Result) -> str:
    if result.code == 0:
        return ""
    if result.code in TIMED_OUT:
        return "timeout"
    lines = [line for line in result.output.splitlines() if "level=warning" not in line]
    last = f": {lines[-1].strip()[:DETAIL]}" if lines else ""
    return f"exit code {result.code}{last}"


def _outcome(pending: _Pending) -> str:
    """Return what is known of a write that was not acknowledged: never begun, or anything."""
    return "fail" if pending.error == NOT_THERE else "unknown"
