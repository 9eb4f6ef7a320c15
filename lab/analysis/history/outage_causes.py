"""What each outage of a Service was, by the connections that the askers' nodes traced.

A failed question is matched with the connection that it opened: it leaves no port in its sample, so
they are matched by time. Where another connection that fits as well would mean another cause, the
match is not sure; nor is it while the asker skips many questions, for its busy machine delays
conntrack, too (lab/measure/connection_events.py). Where nothing was traced, or not any more, an
outage that only a connection could explain is left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from lab.analysis.history.node_states import NodeStates, addresses, observer, silences
from lab.analysis.history.series import PATIENCE_S, series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lab.analysis.history.events import Event, History
    from lab.analysis.history.outages import Outages
    from lab.analysis.history.series import Series, Span

DEAD, STALE, OWN, NO_ENDPOINT, LATE, ERROR, NOT_ASKED, UNKNOWN = (
    "dead endpoint",
    "stale endpoint",
    "own node",
    "no endpoint",
    "answer lost or late",
    "error",
    "not asked",
    "unknown",
)
CAUSES = {
    DEAD: "the pod that was asked was on a node that was down or cut off, and still an endpoint",
    STALE: "the pod was no endpoint any more, but kube-proxy on the asking node still sent to it",
    OWN: "the asking pod's own node was down, cut off or not ready",
    NO_ENDPOINT: "the question was refused: the Service had no endpoint there, or nobody listened",
    LATE: "a pod on a node that worked was asked; its answer was lost, or came too late",
    ERROR: "an answer came, but an error, or the connection was cut",
    NOT_ASKED: "the asking pod skipped questions then, or gave them up late; whether the Service "
    "was well is not known",
    UNKNOWN: "the trace shows no connection that would explain it",
}
"""Causes, and what they mean; of two that explain equally many questions, the first one counts."""
PREFIXES = {"service.pod": "service", "dns.pod": "dns"}
"""Probes → the traced address that they ask."""
EARLY_S = 0.02
"""A connection may seem to begin so long before its question: their clocks are compared once."""
SLOW_S = 0.1
"""A question that took longer may belong to a traced connection; quick ones are only counted."""
SKIPPED_SHARE = 0.5
"""Skipped questions must cover this share of a question's time to explain why that took so long."""
BUSY_S, BUSY_SHARE = 1.0, 0.1
"""If this share was skipped while a question was open, or from 1 s before it until 1 s after it, no
match is sure."""
TRACE_MARGIN_S = 1.0
"""So long after its last line a trace counts as ended: the asker asks many times a second."""
BY_CONNECTION = (DEAD, STALE, LATE, UNKNOWN)
"""Causes that only a trace shows."""
REFUSED = ("refused",)
"""Parts of what a refused question says: the Service refused it (by ICMP), or the pod's node."""
ANSWERED = ("code ", "rcode ", "cut", "reset")
"""Parts of what a question says that got an error for an answer, or half of one."""
UNTRACED = ""
"""Not a cause: it happened, or went on, after the trace had ended."""


class TracedConnection(NamedTuple):
    """A connection that was not quickly over; times are seconds since the run began."""

    t: float
    endpoint: str
    """Empty: no pod was chosen."""
    answered: float = math.inf
    """When the first packet came back (of TCP: not yet the answer); infinite: none did."""
    end: float = math.inf
    """When it was over; infinite: that was not seen."""

    @property
    def late(self) -> bool:
        """Whether nothing came back soon, by the trace: a busy conntrack reports late."""
        return self.answered - self.t > PATIENCE_S

    @property
    def soon_over(self) -> bool:
        """Whether it was answered and over soon."""
        return max(self.answered, self.end) - self.t <= PATIENCE_S


class QuestionCause(NamedTuple):
    """Why a question failed."""

    cause: str
    node: str = ""
    """The node that has the pod that was asked, if that matters."""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class OutageCause:
    """The outages of a probe that have one cause."""

    cause: str
    """One of CAUSES."""
    outages: int
    seconds: float
    nodes: tuple[str, ...] = ()
    """Where the pods were that did not answer."""
    not_ready: float | None = None
    """How long after the fault these nodes were called not ready, the slowest, seconds."""
    sure: int = 0
    """In so many of the outages every question with this cause was matched beyond doubt."""


@dataclass(slots=True)
class _Questions:
    """A probe's questions, each with the connection that fits best."""

    probe: Series
    node: str
    address: str
    connections: tuple[TracedConnection, ...]
    """In the order in which they began."""
    states: NodeStates
    last: float = math.inf
    """When the node's trace showed something for the last time."""
    _taken: dict[int, int] = field(default_factory=dict)
    """A sample's number → its connection's."""
    _skipped: list[float] = field(default_factory=list)
    _troubled: list[int] = field(default_factory=list)
    """The numbers of the samples that failed, took too long, or were not taken."""

    def match(self) -> None:
        """Match each slow or failed question with the nearest connection that is still free."""
        used: set[int] = set()
        samples = self.probe.samples
        self._skipped = [sample.t for sample in samples if sample.get("ok") is None]
        self._troubled = [
            number for number, sample in enumerate(samples) if _troubled(sample, PATIENCE_S)
        ]
        for number, sample in enumerate(samples):
            if sample.get("ok") is None or not _troubled(sample, SLOW_S):
                continue
            free = [index for index in self._fitting(sample) if index not in used]
            if free:
                best = min(free, key=lambda i: abs(self.connections[i].t - sample.t))
                self._taken[number] = best
                used.add(best)

    def _fitting(self, sample: Event) -> range:
        rows = self.connections
        return range(
            bisect_left(rows, sample.t - EARLY_S, key=lambda row: row.t),
            bisect_right(rows, sample.end, key=lambda row: row.t),
        )

    def findings(self, span: Span) -> list[QuestionCause]:
        """Return why an outage's questions failed, or were slow.

        Where none was open in it, those just before: an answer that was late by less than
        `PATIENCE_S` lets an outage begin after the failures. Questions that were skipped tell
        nothing of the Service: they count only if no other one was open.
        """
        numbers = self._open(span.begin, span.end) or self._open(span.begin - PATIENCE_S, span.end)
        samples = self.probe.samples
        asked = [number for number in numbers if samples[number].get("ok") is not None]
        return [self.finding(number) for number in asked or numbers]

    def traced(self, t: float) -> bool:
        """Whether the trace had not ended by then."""
        return t <= self.last + TRACE_MARGIN_S

    def whole(self, span: Span) -> bool:
        """Whether the trace had not ended when an outage's last question was asked."""
        return self.traced(span.end - self.probe.timeout)

    def well(self, span: Span) -> bool:
        """Whether every connection that began in an outage, or just before, was soon over."""
        rows = self.connections
        first = bisect_left(rows, span.begin - PATIENCE_S, key=lambda row: row.t)
        after = bisect_left(rows, span.end, key=lambda row: row.t)
        return all(row.soon_over for row in rows[first:after])

    def _open(self, begin: float, end: float) -> list[int]:
        samples = self.probe.samples
        return [
            number
            for number in self._troubled
            if samples[number].t < end and samples[number].end > begin
        ]

    def finding(self, number: int) -> QuestionCause:
        """Return why a question failed, or was slow."""
        sample = self.probe.samples[number]
        if sample.get("ok") is None:
            return QuestionCause(NOT_ASKED)
        if self.states.silent(self.node, sample.t, sample.end):
            return QuestionCause(OWN, self.node)
        if number not in self._taken:
            return self._without_connection(sample)
        chosen = self.connections[self._taken[number]]
        best = self._of(sample, chosen)
        near = abs(chosen.t - sample.t) <= self.probe.interval / 2
        sure = near or all(
            self._of(sample, self.connections[index]).cause == best.cause
            for index in self._fitting(sample)
        )
        return best._replace(sure=best.sure and sure and not self._busy(sample))

    def _without_connection(self, sample: Event) -> QuestionCause:
        if _says(sample, REFUSED):
            return QuestionCause(NO_ENDPOINT)
        if _says(sample, ANSWERED):
            return QuestionCause(ERROR)
        if self._starved(sample):
            return QuestionCause(NOT_ASKED, sure=False)
        return QuestionCause(UNKNOWN if self.traced(sample.t) else UNTRACED, sure=False)

    def _of(self, sample: Event, connection: TracedConnection) -> QuestionCause:
        """Return what a question's failure means if this was its connection."""
        endpoint = connection.endpoint
        if not endpoint:
            return QuestionCause(NO_ENDPOINT)
        node = self.states.node_of(endpoint)
        removed = self.states.removed(endpoint, sample.t, observed=self.address == "service")
        if removed or self.states.dead(endpoint, sample.t, sample.end):
            return QuestionCause(STALE if removed else DEAD, node)
        if _says(sample, REFUSED):
            return QuestionCause(NO_ENDPOINT, node)
        if _says(sample, ANSWERED):
            return QuestionCause(ERROR, node)
        starved = self._starved(sample)
        if starved and not connection.late:
            return QuestionCause(NOT_ASKED)
        return QuestionCause(LATE, node, sure=not starved and not connection.soon_over)

    def _starved(self, sample: Event) -> bool:
        """Whether the asker's own schedule explains why a question failed, or was slow.

        It gave the question up long after its limit, or skipped others for most of its time.
        """
        took = sample.end - sample.t
        late = took > self.probe.timeout + PATIENCE_S
        return late or self._skipped_share(sample.t, sample.end) >= SKIPPED_SHARE

    def _busy(self, sample: Event) -> bool:
        """Whether the asker skipped many questions during one, or around it."""
        return any(
            self._skipped_share(sample.t - around, sample.end + around) >= BUSY_SHARE
            for around in (0.0, BUSY_S)
        )

    def _skipped_share(self, begin: float, end: float) -> float:
        """Return which share of a time the questions cover that were skipped in it."""
        first, after = bisect_left(self._skipped, begin), bisect_right(self._skipped, end)
        return (after - first) * self.probe.interval / (end - begin) if end > begin else 0.0


def causes(history: History, measured: Mapping[str, Outages]) -> dict[str, tuple[OutageCause, ...]]:
    """Return the causes of the outages of Services, by probe. Pure.

    A probe without outages, or whose node traced nothing, is left out; so are outages that only a
    connection could explain and that were not over when the trace ended (with its node, which may
    have come back, or by its limits). `measured` are the outages by probe.
    """
    traced = _traced(history)
    if not traced:
        return {}
    states = _states(history)
    last = _last_lines(history)
    by_probe = {}
    for prefix, address in PREFIXES.items():
        for name, probe in series(history, prefix).items():
            node = name.rpartition(".")[2]
            spans = measured[name].spans if name in measured else ()
            if spans and (node, address) in traced:
                connections = traced[node, address]
                questions = _Questions(probe, node, address, connections, states, last[node])
                questions.match()
                by_probe[name] = _rows(questions, spans)
    return {name: rows for name, rows in by_probe.items() if rows}


def _states(history: History) -> NodeStates:
    pods: dict[str, str] = {}
    for event in history.of("trace", state="begin"):
        pods |= event.get("pods") or {}
    endpoints = observer(history, "endpoints")
    listed: dict[str, float] = {}
    for sample in endpoints.answers:
        for address in addresses(sample):
            listed.setdefault(address, sample.end)
    answered: dict[str, list[float]] = {}
    for event in history.of("trace", state="answers"):
        answered.setdefault(str(event.get("endpoint")), []).append(event.end)
    for event in history.of("connection"):
        if event.get("answered") is not None:
            at = float(event.get("answered"))
            answered.setdefault(str(event.get("endpoint")), []).append(at)
    return NodeStates(
        silences(history),
        observer(history, "nodes"),
        endpoints,
        {node: ip_network(net) for node, net in pods.items() if net},
        listed,
        {endpoint: tuple(sorted(times)) for endpoint, times in answered.items()},
    )


def _traced(history: History) -> dict[tuple[str, str], tuple[TracedConnection, ...]]:
    """Return what was traced, by node and address; nothing where no good answer was seen at all."""
    connections: dict[tuple[str, str], list[TracedConnection]] = {
        _key(event): [] for event in history.of("trace", state="answers")
    }
    for event in history.of("connection"):
        if _key(event) in connections:
            endpoint = str(event.get("endpoint") or "")
            times = [event.get(what) for what in ("answered", "end")]
            answered, end = (math.inf if at is None else float(at) for at in times)
            connections[_key(event)].append(TracedConnection(event.t, endpoint, answered, end))
    return {key: tuple(sorted(rows)) for key, rows in connections.items()}


def _last_lines(history: History) -> dict[str, float]:
    """Return when each node's trace showed something for the last time, seconds."""
    last: dict[str, float] = {}
    for event in (*history.of("trace"), *history.of("connection")):
        node = str(event.get("node"))
        at = max(event.t, event.end, float(event.get("answered") or 0))
        last[node] = max(last.get(node, at), at)
    return last


def _key(event: Event) -> tuple[str, str]:
    return (str(event.get("node")), str(event.get("to")))


def _troubled(sample: Event, longest: float) -> bool:
    return sample.get("ok") is not True or sample.end - sample.t > longest


def _says(sample: Event, parts: Iterable[str]) -> bool:
    return any(part in str(sample.get("detail") or "") for part in parts)


def _rows(questions: _Questions, spans: Iterable[Span]) -> tuple[OutageCause, ...]:
    """Return one row for each cause, the most frequent first."""
    outages: dict[str, list[tuple[Span, list[QuestionCause]]]] = {}
    for span in spans:
        cause, findings = _cause(questions, span)
        if cause != UNTRACED:
            outages.setdefault(cause, []).append((span, findings))
    rows = [_row(questions.states, cause, explained) for cause, explained in outages.items()]
    return tuple(sorted(rows, key=lambda row: (-row.outages, list(CAUSES).index(row.cause))))


def _cause(questions: _Questions, span: Span) -> tuple[str, list[QuestionCause]]:
    """Return the cause of most of an outage's questions, and those questions' findings."""
    findings = questions.findings(span)
    counts = Counter(finding.cause for finding in findings)
    if not counts:
        return UNKNOWN if questions.whole(span) else UNTRACED, []
    most = max(counts.values())
    cause = next(name for name in (*CAUSES, UNTRACED) if counts[name] == most)
    same = [finding for finding in findings if finding.cause == cause]
    whole = cause == OWN or questions.whole(span)
    if cause in BY_CONNECTION and not whole:
        return UNTRACED, []
    alone = len(same) == len(findings) and questions.well(span)
    if whole and (cause != NOT_ASKED or alone):
        return cause, same
    return cause, [finding._replace(sure=False) for finding in same]


def _row(
    states: NodeStates, cause: str, outages: list[tuple[Span, list[QuestionCause]]]
) -> OutageCause:
    findings = [finding for _, each in outages for finding in each]
    nodes = tuple(sorted({finding.node for finding in findings} - {""}))
    ends = {(finding.node, span.end) for span, each in outages for finding in each}
    times = [t for node, end in ends if (t := states.became_not_ready(node, end)) is not None]
    return OutageCause(
        cause,
        len(outages),
        sum(span.seconds for span, _ in outages),
        nodes,
        max(times, default=None) if cause in {DEAD, STALE} else None,
        sum(bool(each) and all(finding.sure for finding in each) for _, each in outages),
    )
