"""The history of a run: what happened, one event a line, as JSON, in the order it was learnt.

Verdicts are computed from this alone. Times (`t`) are seconds on the host's monotonic clock since
the run began; events that last also have `end`. The kinds, and what belongs to each:

run         the first line: lab, scenario, distribution, versions, seed, wall (ISO 8601), probes
            (those of the command line, name → URL), topology (as in the label of the lab's
            network); optionally command (how to run it again)
instrument  a probe that will sample: probe, question, interval and timeout (seconds), connection
            (new, kept, none)
agent       the instrument itself: state (begin; end: code, its exit code, and told, whether it
            said how well it kept its schedule)
probe       a sample: probe, end, ok (true, false; null: the instrument itself could not ask),
            optionally value and detail
op          an operation on the API: client, op (create, write, read, list), key, value, end,
            outcome (ok, fail; unknown: no answer came)
user_op     an operation on a service of the user's own: client (its name), op (create, read,
            list), key, value, end, outcome, as in op
watch       an event of a watch: rv, key, type (ADDED, MODIFIED, DELETED, BOOKMARK), value.
            Type RESUME: connected for the first time, or again from `rv`. Type LOST: the server no
            longer has `rv` (410), so what came after it was not seen. Type END: closed on purpose.
            `probe` distinguishes several watches (default `watch`)
fault       action (fire, proof, heal, healed, failed), id, fault, node, word (the target as it was
            written), detail
log         a line of a node's journal that matters: node, unit, what (token-lost, membership,
            fenced, vip-start, leader, …), text; optionally resolution (seconds)
trace       how a node traced the connections of the pods that ask: node, state. begin: it traces;
            pods (each node's range of pods' addresses). answers: within a second, count
            connections to one endpoint were answered and over at once; `t` and end are those of
            the first and the last; to (service, dns: what was asked), endpoint (the pod's address)
connection  one that was not over at once: node, to, endpoint (empty: no pod was chosen); answered
            (when the first packet came back; absent: none did), optionally end
step        a step of the scenario: index, text, state (begin, end, failed), detail
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from lab.base.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

KINDS = (
    "run",
    "instrument",
    "agent",
    "probe",
    "op",
    "user_op",
    "watch",
    "fault",
    "log",
    "trace",
    "connection",
    "step",
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    t: float
    """When, seconds since the run began."""
    kind: str
    """One of KINDS."""
    data: dict[str, Any] = field(default_factory=dict)
    """What belongs to its kind: see the module's description."""

    @property
    def end(self) -> float:
        """When it was over, seconds since the run began; without a duration, when it began."""
        return float(self.data.get("end", self.t))

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 (any JSON value)
        """Return one of its values."""
        return self.data.get(key, default)

    def line(self) -> str:
        """Return it as a line of JSON, without a line break."""
        return json.dumps(
            {"t": round(self.t, 6), "kind": self.kind, **self.data},
            separators=(",", ":"),
            default=str,
        )


@dataclass(frozen=True, slots=True)
class History:
    """All events of a run, ordered by time.

    They are sorted by kind and by probe once: ten minutes are half a million samples.
    """

    events: tuple[Event, ...]
    _kinds: dict[str, tuple[Event, ...]] = field(init=False, repr=False, compare=False)
    _probes: dict[str, tuple[Event, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Sort the events by kind and by probe."""
        kinds: dict[str, list[Event]] = {}
        probes: dict[str, list[Event]] = {}
        for event in self.events:
            kinds.setdefault(event.kind, []).append(event)
            if event.kind == "probe":
                probes.setdefault(str(event.data.get("probe")), []).append(event)
        object.__setattr__(self, "_kinds", {kind: tuple(events) for kind, events in kinds.items()})
        object.__setattr__(
            self, "_probes", {probe: tuple(events) for probe, events in probes.items()}
        )

    def of(self, kind: str, **values: Any) -> tuple[Event, ...]:  # noqa: ANN401
        """Return the events of a kind; with `values`, only those whose data have all of them."""
        events = self._kinds.get(kind, ())
        if not values:
            return events
        return tuple(
            event
            for event in events
            if all(event.data.get(key) == value for key, value in values.items())
        )

    def samples(self, probe: str) -> tuple[Event, ...]:
        """Return a probe's samples; empty if it has none."""
        return self._probes.get(probe, ())

    def sampled(self) -> tuple[str, ...]:
        """Return the names of the probes that have samples, sorted."""
        return tuple(sorted(self._probes))

    def instruments(self) -> dict[str, Event]:
        """Return the `instrument` events by probe: those that were meant to sample."""
        return {str(event.data["probe"]): event for event in self.of("instrument")}

    @property
    def run(self) -> dict[str, Any]:
        """The data of the `run` event; empty if there is none."""
        first = self.of("run")
        return first[0].data if first else {}

    @property
    def span(self) -> tuple[float, float]:
        """When the run began and when its last event ended, seconds."""
        return (0.0, max((event.end for event in self.events), default=0.0))


def history(events: Iterable[Event]) -> History:
    """Return events as a history, sorted by time."""
    return History(tuple(sorted(events, key=lambda event: event.t)))


def parse(lines: Iterable[str], name: str = "history.jsonl") -> Iterator[Event]:
    """Yield the events in lines of JSON; `name` is the file's, for messages.

    A last line that was cut off in the middle is left out. Raise InputError, with the line's
    number, for anything else that is not an event.
    """
    rows = list(lines)
    for number, line in enumerate(rows, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            event = Event(float(data.pop("t")), str(data.pop("kind")), data)
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(rows):  # a run that was killed while it wrote
                return
            raise InputError(
                f"{name}:{number}: no event of a run: {line.strip()[:80]}",
                "a history is written by halab and not edited",
            ) from None
        if event.kind not in KINDS:
            raise InputError(
                f"{name}:{number}: no kind of event `{event.kind}`", f"known: {', '.join(KINDS)}"
            )
        yield event


def read(path: Path) -> History:
    """Read a run's history. Raise InputError if it is missing or not a history."""
    try:
        return history(parse(path.read_text(encoding="utf-8").splitlines(), str(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "a run's folder has a history.jsonl"
        ) from error


def write(file: TextIO, events: Iterable[Event]) -> None:
    """Append events, one a line, and flush: what was learnt must survive a kill."""
    file.writelines(event.line() + "\n" for event in events)
    file.flush()
