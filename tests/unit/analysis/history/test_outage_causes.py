"""Why a Service was out: told from traced connections, faults and the asker's own schedule."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from histories import INTERVAL, TIMES, instrument, observed, sample

from lab.analysis import report
from lab.analysis.history import node_states, outage_causes
from lab.analysis.history.events import Event, History, history
from lab.analysis.history.outage_causes import CAUSES, OutageCause
from lab.analysis.history.outages import measure
from lab.chaos import faults

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = "service.pod.w1"
NETWORKS = {f"w{number}": f"10.244.{number}.0/24" for number in (1, 2, 3)}
PODS = tuple(f"10.244.{number}.7" for number in (1, 2, 3))
CRASH, NOT_READY, SYNCED, HEALED, BACK = 10.0, 12.0, 12.6, 20.0, 21.0
TIMEOUT = 0.5


def crash(node: str = "w2", fault: str = "crash") -> list[Event]:
    about = {"id": "f1", "fault": fault, "node": node, "word": node}
    return [
        Event(CRASH, "fault", {"action": "fire", **about}),
        Event(HEALED, "fault", {"action": "healed", **about}),
    ]


def cluster(node: str = "w2", pod: str = PODS[1]) -> list[Event]:
    """What Kubernetes says while a node is away."""

    def away(t: float) -> bool:
        return NOT_READY <= t < BACK

    def nodes(t: float) -> dict[str, str]:
        return {name: "NotReady" if away(t) and name == node else "Ready" for name in NETWORKS}

    return [
        *observed("nodes", nodes),
        *observed("endpoints", lambda t: [ip for ip in PODS if not (away(t) and ip == pod)]),
    ]


def began(node: str = "w1") -> Event:
    return Event(0.0, "trace", {"node": node, "state": "begin", "pods": NETWORKS})


def connection(t: float, endpoint: str, to: str = "service", **times: float) -> Event:
    return Event(t, "connection", {"node": "w1", "to": to, "endpoint": endpoint, **times})


def answers(t: float, endpoint: str, to: str = "service") -> Event:
    data = {"node": "w1", "to": to, "state": "answers", "endpoint": endpoint, "count": 9}
    return Event(t, "trace", {**data, "end": t + 0.5})


def asked(
    bad: Callable[[int, float], str], probe: str = PROBE, late_s: float = 0.001
) -> list[Event]:
    """Questions in turns to the pods; `bad` says to which pod one goes that gets no answer."""
    to = probe.partition(".")[0]
    rows = [instrument(probe), began()]
    for number, t in enumerate(TIMES):
        pod = bad(number, t)
        if pod:
            rows.append(sample(probe, t, ok=False, took=TIMEOUT, detail="timeout"))
            rows.append(connection(t + late_s, pod, to))
        else:
            rows.append(sample(probe, t, ok=True))
    for second in range(29):
        rows += [answers(second, pod, to) for pod in (PODS[0], PODS[2])]
    return rows


def third(pod: str, begin: float, end: float) -> Callable[[int, float], str]:
    """Every sixth question goes to a pod that does not answer: each is an outage by itself."""
    return lambda number, t: pod if begin <= t < end and number % 6 == 0 else ""


def causes_of(rows: list[Event], probe: str = PROBE) -> dict[str, OutageCause]:
    run = history(rows)
    found = outage_causes.causes(run, measure(run)).get(probe, ())
    return {row.cause: row for row in found}


def test_questions_to_a_dead_node_are_told_from_those_after_kubernetes_knew() -> None:
    rows = [*asked(third(PODS[1], CRASH, SYNCED)), *crash(), *cluster()]
    found = causes_of(rows)
    run = measure(history(rows))[PROBE]
    assert set(found) == {"dead endpoint", "stale endpoint"}
    dead, stale = found["dead endpoint"], found["stale endpoint"]
    assert dead.outages + stale.outages == len(run.spans)
    assert dead.outages > stale.outages > 0
    assert dead.seconds + stale.seconds == pytest.approx(run.total)
    assert dead.nodes == ("w2",)
    assert dead.not_ready == pytest.approx(NOT_READY - CRASH, abs=0.2)
    assert dead.sure == dead.outages


@pytest.mark.parametrize("fault", sorted(node_states.SILENCING))
def test_every_fault_that_silences_a_node_makes_its_pods_dead(fault: str) -> None:
    rows = [*asked(third(PODS[1], CRASH, 11.0)), *crash(fault=fault)]
    assert set(causes_of(rows)) == {"dead endpoint"}


def test_the_faults_that_silence_a_node_are_faults() -> None:
    assert set(faults.all_faults()) >= node_states.SILENCING


def test_a_node_that_was_fenced_is_dead_until_its_pods_answer_again() -> None:
    text = "Operation 'off' [4] targeting w2 for pacemaker-controld.7@m2: OK (complete)"
    fenced = Event(CRASH, "log", {"node": "m2", "what": "fenced", "text": text})
    rows = [*asked(third(PODS[1], CRASH + 1, 12.0)), fenced]
    assert set(causes_of(rows)) == {"dead endpoint"}
    assert set(causes_of([*rows, answers(CRASH + 0.2, PODS[1])])) == {"answer lost or late"}


def test_a_healed_node_is_dead_until_its_pods_answer_again() -> None:
    rows = [*asked(third(PODS[1], HEALED + 1, HEALED + 2)), *crash()]
    assert set(causes_of(rows)) == {"dead endpoint"}
    assert set(causes_of([*rows, answers(HEALED, PODS[1])])) == {"answer lost or late"}


def test_a_pod_on_a_node_that_works_lost_its_answer() -> None:
    (row,) = causes_of(asked(third(PODS[2], 10.0, 11.0))).values()
    assert (row.cause, row.nodes) == ("answer lost or late", ("w3",))
    assert row.not_ready is None


def test_a_pod_that_was_replaced_on_a_node_that_works_is_no_endpoint_any_more() -> None:
    rows = asked(third(PODS[1], 13.0, 14.0))
    gone = observed("endpoints", lambda t: list(PODS) if t < NOT_READY else [PODS[0], PODS[2]])
    assert set(causes_of([*rows, *gone])) == {"stale endpoint"}


def test_without_an_endpoint_questions_are_refused_or_go_nowhere() -> None:
    rows = asked(third("", 0, 0))
    refused = [
        sample(PROBE, 10.001 + 0.2 * n, ok=False, took=0.001, detail="connection refused")
        for n in range(5)
    ]
    nowhere = asked(third("none", 10.0, 11.0))
    nowhere = [
        Event(row.t, row.kind, {**row.data, "endpoint": ""}) if row.kind == "connection" else row
        for row in nowhere
    ]
    assert set(causes_of(rows + refused)) == {"no endpoint"}
    assert set(causes_of(nowhere)) == {"no endpoint"}


def test_an_error_is_an_answer() -> None:
    rows = asked(third("", 0, 0))
    wrong = sample(PROBE, 10.001, ok=False, took=0.002, detail="code 503")
    assert set(causes_of([*rows, wrong])) == {"error"}


def test_an_asker_without_a_processor_asked_nothing() -> None:
    rows = [
        sample(PROBE, row.t, ok=None, took=0.0, detail="late")
        if row.kind == "probe" and 10.0 <= row.t < 10.2
        else row
        for row in asked(third("", 0, 0))
    ]
    # Asked just before it was stopped, and given up on long after the limit.
    rows.append(sample(PROBE, 9.995, ok=False, took=0.9, detail="timeout"))
    (row,) = causes_of(rows).values()
    assert (row.cause, row.outages) == ("not asked", 1)


def skipping(rows: list[Event], skips: Callable[[float], bool]) -> list[Event]:
    """The same history, but the asker skipped some of the questions that had good answers."""
    return [
        sample(PROBE, row.t, ok=None, took=0.0, detail="late")
        if row.kind == "probe" and row.get("ok") is True and skips(row.t)
        else row
        for row in rows
    ]


def after_failures(rows: list[Event], count: int) -> Callable[[float], bool]:
    """The slots of so many questions just after each one that failed."""
    failed = [row.t for row in rows if row.kind == "probe" and row.get("ok") is False]
    return lambda t: any(0 < t - each < (count + 0.5) * INTERVAL for each in failed)


def starving(rows: list[Event], begin: float) -> list[Event]:
    """The same history, but for 0.4 s the asker asks only once; that one was answered in 0.2 s."""
    asked_at = pytest.approx(begin + 0.2)
    return [
        sample(PROBE, row.t, ok=True, took=0.2)
        if row.kind == "probe" and row.t == asked_at
        else row
        for row in skipping(rows, lambda t: begin <= t < begin + 0.4 and t != asked_at)
    ]


def one_lost(**times: float) -> list[Event]:
    """One question, at 10 s, got no answer; its connection was as `times` say."""
    rows = asked(lambda number, _: PODS[2] if number == 500 else "")
    rows = [row for row in rows if row.kind != "connection"]
    return [*rows, connection(times.pop("t", 10.001), PODS[2], **times)]


def test_a_dead_pod_counts_even_if_the_asker_was_late() -> None:
    rows = asked(third(PODS[1], CRASH, 11.0))
    skipped = skipping(rows, after_failures(rows, 2))
    assert sum(row.get("ok") is None for row in skipped if row.kind == "probe") > 10
    found = causes_of([*skipped, *crash()])
    assert set(found) == {"dead endpoint"}
    # An asker that skips so much is on a busy machine, where conntrack's times are late, too.
    assert found["dead endpoint"].sure == 0


@pytest.mark.parametrize("count", [0, 1])
def test_a_skipped_question_beside_a_late_answer_does_not_explain_it(count: int) -> None:
    rows = asked(lambda number, _: PODS[2] if number in {500, 600, 700} else "")
    (row,) = causes_of(skipping(rows, after_failures(rows, count))).values()
    assert (row.cause, row.outages, row.sure) == ("answer lost or late", 3, 3)


@pytest.mark.parametrize(
    ("skipped", "cause"), [(11, "answer lost or late"), (14, "not asked"), (24, "not asked")]
)
def test_an_asker_that_skipped_most_of_a_questions_time_was_late_itself(
    skipped: int, cause: str
) -> None:
    """A question may take 25 intervals; its connection began only after ten."""
    rows = one_lost(t=10.2, answered=10.203)
    (row,) = causes_of(skipping(rows, after_failures(rows, skipped))).values()
    assert (row.cause, row.outages, row.sure) == (cause, 1, 0)


@pytest.mark.parametrize(
    ("times", "cause"),
    [
        ({}, "answer lost or late"),
        ({"answered": 10.7}, "answer lost or late"),
        ({"t": 10.2}, "answer lost or late"),
        ({"t": 10.2, "answered": 10.48}, "answer lost or late"),
        ({"answered": 10.003}, "not asked"),
    ],
)
def test_a_connection_without_an_answer_in_time_counts_though_the_asker_skipped_questions(
    times: dict[str, float], cause: str
) -> None:
    rows = one_lost(**times)
    (row,) = causes_of(skipping(rows, after_failures(rows, 24))).values()
    assert (row.cause, row.outages, row.sure) == (cause, 1, 0)


def test_a_slow_answer_that_conntrack_saw_late_was_late_though_the_asker_skipped_questions() -> (
    None
):
    rows = starving(asked(third("", 0, 0)), 10.02)
    rows = [row for row in rows if row.kind != "probe" or row.t != 10.0]
    slow = sample(PROBE, 10.0, ok=True, took=0.4)
    for answered, cause in ((10.39, "answer lost or late"), (10.01, "not asked")):
        seen = connection(10.001, PODS[2], answered=answered, end=10.4)
        (row,) = causes_of([*rows, slow, seen]).values()
        assert (row.cause, row.outages, row.sure) == (cause, 1, 0)


def given_up_late(count: int) -> list[Event]:
    """Questions that were given up 0.4 s after their limit, though none was skipped."""
    late = [10.001 + number * 0.02 for number in range(count)]
    lost = [sample(PROBE, t, ok=False, took=TIMEOUT + 0.4, detail="timeout") for t in late]
    return [*asked(third("", 0, 0)), *lost]


def test_questions_that_were_given_up_late_were_not_asked_unless_their_connections_object() -> None:
    soon = [connection(t, PODS[2], answered=t + 0.01, end=t + 0.12) for t in (10.002, 10.022)]
    never = [connection(t, PODS[2]) for t in (10.002, 10.022)]
    for rows, cause, sure in (
        ([*given_up_late(2), *soon], "not asked", 1),
        ([*given_up_late(2), *never], "answer lost or late", 0),
        # A third question's failure has another cause.
        (
            [*given_up_late(2), *soon, sample(PROBE, 10.013, ok=False, detail="code 500")],
            "not asked",
            0,
        ),
    ):
        (row,) = causes_of(rows).values()
        assert (row.cause, row.outages, row.sure) == (cause, 1, sure)


def test_an_answer_that_conntrack_saw_in_time_is_not_lost_for_certain() -> None:
    for end, sure in ((10.01, 0), (10.5, 1)):
        (row,) = causes_of(one_lost(answered=10.01, end=end)).values()
        assert (row.cause, row.outages, row.sure) == ("answer lost or late", 1, sure)


@pytest.mark.parametrize(
    ("odd", "sure"),
    [
        ([], 1),
        ([connection(10.1, PODS[2], answered=10.104, end=10.3)], 1),
        ([connection(10.1, PODS[2], answered=10.104, end=10.5)], 0),
        ([connection(10.1, PODS[2], answered=10.5)], 0),
        ([connection(10.1, PODS[2])], 0),
    ],
)
def test_an_outage_of_skipped_questions_is_sure_if_no_connection_contradicts(
    odd: list[Event], sure: int
) -> None:
    rows = starving(asked(third("", 0, 0)), 10.0)
    (row,) = causes_of([*rows, *odd]).values()
    assert (row.cause, row.outages, row.sure) == ("not asked", 1, sure)


def test_an_asker_on_a_node_that_is_away_blames_no_service() -> None:
    rows = [*asked(third(PODS[2], CRASH, 11.0)), *crash("w1", "partition")]
    assert set(causes_of(rows)) == {"own node"}


def test_a_question_without_a_connection_is_unknown() -> None:
    lost = [sample(PROBE, 10.001 + n, ok=False, took=TIMEOUT, detail="timeout") for n in range(3)]
    (row,) = causes_of([*asked(third("", 0, 0)), *lost]).values()
    assert (row.cause, row.outages, row.sure) == ("unknown", 3, 0)


def late_timeouts(*times: float) -> list[Event]:
    """Questions without answers and without connections, and a trace that ends at 15 s."""
    rows = asked(third(PODS[1], CRASH, 11.0))
    lost = [sample(PROBE, t + 0.001, ok=False, took=TIMEOUT, detail="timeout") for t in times]
    return [row for row in [*rows, *crash()] if row.kind != "trace" or row.t < 15] + lost


def test_after_the_traces_end_nothing_is_unknown() -> None:
    found = causes_of(late_timeouts(14.0, 20.0, 22.0))
    assert found.keys() == {"dead endpoint", "unknown"}
    assert found["unknown"].outages == 1
    only = [
        row
        for row in late_timeouts(20.0)
        if row.kind != "connection" and not (row.kind == "probe" and row.t in TIMES and row.t < 12)
    ]
    assert measure(history(only))[PROBE].spans
    assert causes_of(only) == {}


@pytest.mark.parametrize(("begin", "found"), [(14.0, {"unknown"}), (22.0, set())])
def test_a_silence_without_a_failure_is_unknown_while_there_is_a_trace(
    begin: float, found: set[str]
) -> None:
    rows = [
        row
        for row in starving(late_timeouts(), begin)
        if row.kind != "probe" or row.get("ok") is not None
    ]
    assert causes_of(rows).keys() == {"dead endpoint", *found}


def test_after_the_traces_end_the_samples_still_tell_what_they_can() -> None:
    refused = sample(PROBE, 20.001, ok=False, took=0.001, detail="connection refused")
    rows = starving([*late_timeouts(), refused], 22.0)
    found = causes_of(rows)
    assert found.keys() == {"dead endpoint", "no endpoint", "not asked"}
    assert (found["no endpoint"].sure, found["not asked"].sure) == (0, 0)


def test_an_outage_across_the_reboot_of_the_askers_node_is_left_out_unless_a_fault_tells() -> None:
    """The last question before was not answered, by which pod ever; then the asker was away."""
    rows = [row for row in late_timeouts() if not (row.kind == "probe" and 14.5 <= row.t < 19.5)]
    lost = sample(PROBE, 14.5, ok=False, took=TIMEOUT, detail="timeout")
    rows += [lost, connection(14.501, PODS[2])]
    run = history(rows)
    assert any(span.begin < 14.6 and span.end > 19.4 for span in measure(run)[PROBE].spans)
    assert causes_of(rows).keys() == {"dead endpoint"}
    away = {"id": "f2", "fault": "reboot", "node": "w1", "word": "w1"}
    known = [*rows, Event(14.4, "fault", {"action": "fire", **away})]
    assert causes_of(known)["own node"].sure == 1


def test_an_outage_that_is_open_when_the_run_ends_was_traced() -> None:
    """Its last questions are given up long after the last connection began."""
    rows = [
        sample(PROBE, row.t, ok=False, took=2.0, detail="timeout")
        if row.kind == "probe" and row.get("ok") is False
        else row
        for row in asked(lambda _, t: PODS[2] if t >= 27 else "")
        if row.kind != "instrument"
    ]
    (row,) = causes_of([instrument(PROBE, timeout=2.0), *rows]).values()
    assert (row.cause, row.outages, row.sure) == ("answer lost or late", 1, 1)


def test_the_report_says_how_many_outages_came_after_the_traces_end() -> None:
    run = history(late_timeouts(20.0, 22.0))
    written = report.build(run, report.judge(run, []))
    text = " ".join(report.text(written).split())
    assert "), 2 not over at the trace's last line" in text


def test_dns_has_its_own_connections() -> None:
    probe = "dns.pod.w1"
    rows = [*asked(third(PODS[1], CRASH, SYNCED), probe), *crash(), *cluster()]
    assert set(causes_of(rows, probe)) == {"dead endpoint", "stale endpoint"}
    assert outage_causes.causes(history(rows), measure(history(rows))).keys() == {probe}


def test_what_fits_two_causes_is_not_sure() -> None:
    """Connections that began late may be another question's; those of one cause leave no doubt."""
    dead = [*asked(third(PODS[1], CRASH, 11.0), late_s=0.05), *crash()]
    assert (row := causes_of(dead)["dead endpoint"]).sure == row.outages
    began_later = [row.t + 0.02 for row in dead if row.kind == "connection"]
    mixed = [*dead, *(connection(t, PODS[2]) for t in began_later)]
    assert causes_of(mixed)["dead endpoint"].sure == 0


def test_a_pod_that_answered_slowly_was_late_and_takes_no_other_questions_connection() -> None:
    rows = [
        row
        for row in asked(third(PODS[1], CRASH, 11.0))
        if not (row.kind == "probe" and row.t == pytest.approx(10.02))
    ]
    slow = sample(PROBE, 10.02, ok=True, took=0.3)
    about = {"answered": 10.3, "end": 10.32}
    rows += [slow, connection(10.021, PODS[2], **about), *crash()]
    (row,) = causes_of(rows).values()
    assert (row.cause, row.sure) == ("dead endpoint", row.outages)


@pytest.mark.parametrize("missing", ["trace", "connection"])
def test_without_a_trace_nothing_is_said(missing: str) -> None:
    rows = [row for row in asked(third(PODS[1], CRASH, 11.0)) if row.kind != missing]
    found = causes_of([*rows, *crash()])
    assert set(found) == (set() if missing == "trace" else {"unknown"})


def test_other_probes_and_other_nodes_have_no_causes() -> None:
    rows = asked(third(PODS[1], CRASH, 11.0))
    other = [
        Event(row.t, row.kind, {**row.data, "probe": "service.pod.w3"})
        for row in asked(third(PODS[1], CRASH, 11.0))
        if row.kind in {"probe", "instrument"}
    ]
    run = history([*rows, *other])
    assert outage_causes.causes(run, measure(run)).keys() == {PROBE}


def test_garbage_in_a_trace_is_not_a_bug() -> None:
    dice = random.Random(7)
    rows = asked(third(PODS[1], CRASH, 12.0))
    odd = [
        connection(dice.uniform(0, 30), dice.choice(["", "10.0.0.1", *PODS])) for _ in range(200)
    ]
    found = causes_of([*rows, *odd, *crash(), *cluster()])
    assert set(found) <= set(CAUSES)


@pytest.fixture(scope="module")
def written() -> report.Report:
    rows = [
        Event(0.0, "run", {"lab": "x", "scenario": "crash-worker"}),
        *asked(third(PODS[1], CRASH, SYNCED)),
        *crash(),
        *cluster(),
    ]
    run: History = history(rows)
    return report.build(run, report.judge(run, ["outage(service.pod) <= 2s"]))


def test_the_report_tells_causes_beside_the_outages(written: report.Report) -> None:
    (row,) = (row for row in written.outages if row.probe == PROBE)
    dead = row.causes[0]
    told = f"{dead.outages} to a dead endpoint (on w2, NotReady 2 s after the fault)"
    whose = "the client's to mend: a retry goes to another pod"
    for text in (report.text(written), report.html(written)):
        plain = text.replace("&#39;", "'")
        assert f"{PROBE}: {row.count} outages, " in plain
        assert told in plain
        assert whose in plain
        assert "A client without a retry sees this" in plain


def test_the_report_blames_nobody_for_questions_that_were_not_asked() -> None:
    run = history(starving(asked(third("", 0, 0)), 10.0))
    text = " ".join(report.text(report.build(run, report.judge(run, []))).split())
    assert "whether the Service was well is not known" in text
    assert "dead node" not in text
    assert "processor" not in text
    assert "too busy" not in text


def test_json_has_the_causes(written: report.Report) -> None:
    rows: list[dict[str, Any]] = json.loads(report.json_text(written))["outages"]
    (row,) = (row for row in rows if row["probe"] == PROBE)
    assert row["causes"][0]["cause"] == "dead endpoint"
    assert row["causes"][0]["nodes"] == ["w2"]
    assert sum(each["outages"] for each in row["causes"]) == row["count"]


def test_the_interval_is_that_of_the_other_histories() -> None:
    assert TIMES[1] - TIMES[0] == INTERVAL
