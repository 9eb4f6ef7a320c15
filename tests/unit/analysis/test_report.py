"""Reports: judged right, whole in every format, readable alone, small however long the run."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import click
import histories
import pytest
from histories import FIRE, changed, plus, without

from lab.analysis import checkers, report
from lab.analysis.format import seconds
from lab.analysis.history.events import Event, History, history
from lab.analysis.judge import decide
from lab.analysis.report import lanes, svg
from lab.analysis.report.model import Stretch
from lab.analysis.verdicts import Figure, worst
from lab.cli.report import report_command
from lab.topology.expectation import ExpectationError, parse

if TYPE_CHECKING:
    from pathlib import Path

WANTED = [
    "outage(api.vip) <= 5s",
    "outage(api.lb) <= 300ms",
    "outages(api.vip.new) == 1",
    "unavailable(api.vip) <= 3s",
    "failover(vip) <= 3s",
    "failover(leader) <= 3s",
    "failover(api.lb) <= 3s",
    "lost_writes == 0",
    "leader_changes <= 3",
    "vip_overlap == 0",
    "vip_unique",
    "not vip_unique",
    "linearizable",
    "one_leader",
    "watch",
    "steady",
    "outage(dns.pod) <= 1s",
]
VOID = {"meta", "br", "path", "rect"}


class Page(HTMLParser):
    """Keeps the text, the addresses and the tags; a tag that is not closed is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        self.addresses += [
            value for name, value in attrs if name in {"src", "href", "xlink:href"} and value
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def good() -> History:
    return histories.good()


@pytest.fixture(scope="module")
def crash(good: History) -> report.Report:
    return report.build(good, report.judge(good, WANTED))


def test_each_expectation_is_judged(good: History) -> None:
    verdicts = {verdict.name: verdict for verdict in report.judge(good, WANTED)}
    assert list(verdicts) == WANTED
    odd = {
        "outage(api.lb) <= 300ms": "fail",
        "not vip_unique": "fail",
        "outage(dns.pod) <= 1s": "unknown",
    }
    assert {
        name: verdict.outcome for name, verdict in verdicts.items() if verdict.outcome != "pass"
    } == odd
    assert worst(verdicts.values()) == "fail"
    assert verdicts["outage(api.vip) <= 5s"].figures[0].resolution == histories.INTERVAL
    assert "this run has" in verdicts["outage(dns.pod) <= 1s"].reasons[0]
    assert "did you mean `api.vip`?" in report.judge(good, ["outage(api.vpi) <= 1s"])[0].reasons[0]


def test_not_vip_unique_shows_what_goes_wrong_without_fencing(good: History) -> None:
    two = changed(
        good,
        lambda event: (
            {"value": ["m", "m2"]}
            if event.get("probe") == "vip.arp" and 11.4 < event.t < 12
            else None
        ),
    )
    verdicts = report.judge(two, ["not vip_unique", "vip_overlap > 500ms", "vip_overlap == 0"])
    assert [verdict.outcome for verdict in verdicts] == ["pass", "pass", "fail"]
    assert (
        report.judge(
            without(two, lambda event: event.get("probe") == "vip.arp"), ["not vip_unique"]
        )[0].outcome
        == "unknown"
    )


def test_without_expectations_every_checker_counts(good: History) -> None:
    assert [verdict.name for verdict in report.judge(good, [])] == list(checkers.names())
    with pytest.raises(ExpectationError):
        report.judge(good, ["outtage <= 5s"])


@pytest.mark.parametrize(
    ("text", "value", "worst", "outcome"),
    [
        ("outage(p) <= 5s", 4.0, None, "pass"),
        ("outage(p) <= 5s", 6.0, None, "fail"),
        ("outage(p) <= 5s", 4.0, 4.5, "pass"),
        ("outage(p) <= 5s", 4.0, math.inf, "unknown"),
        ("outage(p) <= 5s", 6.0, math.inf, "fail"),
        ("outage(p) >= 3s", 4.0, math.inf, "pass"),
        ("outage(p) > 5s", 4.0, math.inf, "unknown"),
        ("lost_writes == 0", 0.0, 2.0, "unknown"),
        ("lost_writes == 0", 1.0, 2.0, "fail"),
        ("outages(p) == 2", 1.0, 3.0, "unknown"),
        ("outages(p) != 2", 1.0, 3.0, "unknown"),
        ("outages(p) != 2", 1.0, 1.0, "pass"),
        ("outage(p) <= 5s", None, None, "unknown"),
    ],
)
def test_what_was_not_seen_is_never_a_pass(
    text: str, value: float | None, worst: float | None, outcome: str
) -> None:
    assert decide(parse(text), Figure("x", value, "s", 0.02, worst)) == outcome


def test_an_outage_that_stands_is_unknown_while_it_may_still_be_met(good: History) -> None:
    gone = changed(
        good,
        lambda event: (
            {"ok": False} if event.get("probe") == "api.lb.new" and event.t > 29 else None
        ),
    )
    assert [
        verdict.outcome
        for verdict in report.judge(gone, ["outage(api.lb) <= 5s", "outage(api.lb) <= 500ms"])
    ] == ["unknown", "fail"]


def test_a_stall_that_is_too_short_to_matter_does_not_matter(good: History) -> None:
    stalled = without(
        good,
        lambda event: (
            event.kind == "probe" and event.get("probe") == "api.lb.new" and 3 < event.t < 4
        ),
    )
    verdicts = report.judge(stalled, ["outage(api.lb) <= 5s", "outage(api.lb) <= 500ms"])
    assert [verdict.outcome for verdict in verdicts] == ["pass", "unknown"]


def test_the_page_is_whole_and_needs_nothing_else(crash: report.Report) -> None:
    text = report.html(crash)
    page = parsed(text)
    assert page.addresses == []
    assert "script" not in page.seen
    assert not re.search(r"https?://|url\(|@import", text)
    words = " ".join(page.text)
    for must in (
        crash.title,
        crash.sentence,
        "FAILED",
        "crash on m",
        "v1.36.3",
        "linearizable",
        "api.vip.kept",
        "a fault fires",
        "± 20 ms",
        "seed",
    ):
        assert must in words
    assert page.seen.count("svg") == 3  # the whole run, a close-up, the phases
    assert "prefers-color-scheme:dark" in text
    assert len(text) < 100_000


def test_what_a_history_says_is_text_and_not_markup(good: History) -> None:
    nasty = '<img src=x onerror=alert(1)>&"'
    lane = histories.sampled(nasty, (FIRE, 11.0))
    step = Event(15.0, "step", {"index": 9, "text": nasty, "state": "begin"})
    odd = plus(
        good, *lane, step, Event(10.6, "log", {"node": nasty, "what": "fenced", "text": nasty})
    )
    fire = Event(
        12.0,
        "fault",
        {
            "action": "fire",
            "id": "x",
            "fault": nasty,
            "node": nasty,
            "word": nasty,
            "detail": nasty,
        },
    )
    written = report.build(plus(odd, fire), report.judge(odd, ["steady"]))
    page = parsed(report.html(written))
    assert "img" not in page.seen
    assert page.addresses == []
    ET.fromstring(report.junit(written).encode())  # noqa: S314 (ours)


def test_junit_is_what_ci_reads(crash: report.Report) -> None:
    suite = ET.fromstring(report.junit(crash).encode()).find("testsuite")  # noqa: S314 (ours)
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        str(len(WANTED)),
        "2",
        "1",
    )
    assert [case.get("name") for case in suite.iter("testcase")] == WANTED
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "measured: 400 ms ± 20 ms"


def test_junit_leaves_out_what_xml_cannot_hold(good: History) -> None:
    run = changed(
        good, lambda event: {"scenario": "a\x00b\ud800\x1b[1m"} if event.kind == "run" else None
    )
    assert ET.fromstring(report.junit(report.build(run, ())).encode()) is not None  # noqa: S314 (ours)


def test_json_has_all_values_and_no_infinity(good: History) -> None:
    gone = changed(
        good,
        lambda event: (
            {"ok": False} if event.get("probe") == "api.lb.new" and event.t > FIRE else None
        ),
    )
    written = report.build(gone, report.judge(gone, ["outage(api.lb) <= 5s"]))
    data = json.loads(report.json_text(written), parse_constant=pytest.fail)
    assert data["schema"] == 1
    assert data["outcome"] == "fail"
    assert data["rows"][0]["figures"][0]["worst"] == "infinite"
    assert data["rows"][0]["figures"][0]["resolution"] == 0.02
    assert data["blows"][0]["phases"]


def test_text_tells_the_same(crash: report.Report) -> None:
    text = report.text(crash)
    assert text.startswith("FAILED: crash of the VIP holder on lab 3m3w\n")
    for row in crash.rows:
        assert row.name in text
    assert "not seen: token_lost" in text
    assert "halab scenario run 3m3w 'crash of the VIP holder' --seed 7" in text


def test_the_command_line_is_told_with_the_probes_that_it_named() -> None:
    about = {"lab": "x", "scenario": "s", "probes": {"shop": "http://vip/?a=b&c"}}
    found = report.build(History((Event(0.0, "run", about),)), ())
    assert found.again[0] == "halab scenario run x s --probe 'shop=http://vip/?a=b&c'"


def test_the_picture_is_a_picture(crash: report.Report) -> None:
    picture = report.png(crash)
    assert picture.startswith(b"\x89PNG\r\n")
    assert len(picture) < 1_000_000


@pytest.mark.parametrize("form", report.FORMATS)
def test_an_empty_history_is_told_in_every_format(form: str) -> None:
    empty = report.build(History(()), report.judge(History(()), []))
    assert empty.outcome == "unknown"
    assert report.FORMATS[form][1](empty)
    assert report.png(empty)


def test_report_writes_every_format_and_the_picture_into_the_runs_folder(
    crash: report.Report, tmp_path: Path
) -> None:
    report.write(tmp_path, crash)
    names = {name for name, _ in report.FORMATS.values()} | {report.PICTURE}
    assert names == {"report.txt", "report.json", "report.xml", "report.html", "timeline.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name, render in report.FORMATS.values():
        assert (tmp_path / name).read_text(encoding="utf-8") == render(crash)


def test_report_command_offers_the_formats_of_the_table() -> None:
    (output,) = (each for each in report_command.params if each.name == "output")
    assert isinstance(output.type, click.Choice)
    assert list(output.type.choices) == list(report.FORMATS)
    assert set(report.COMPARISONS) < set(report.FORMATS)


@pytest.mark.parametrize("probe", ["service.pod.new", "service.lb", "dns.pod.w1"])
def test_report_says_what_an_outage_of_a_service_is_where_one_is_shown(
    good: History, probe: str
) -> None:
    written = report.build(plus(good, *histories.sampled(probe, (FIRE, 12.0))), ())
    sentence = (
        f"{probe}: A client without a retry sees this until the dead node's endpoints are "
        "removed, that is until the node is NotReady."
    )
    assert sentence in report.text(written)
    assert sentence in " ".join(parsed(report.html(written)).text)


@pytest.mark.parametrize(("probe", "gap"), [("service.pod.new", (0, 0)), ("dns.podium", (10, 12))])
def test_report_says_nothing_of_services_that_had_no_outage(
    good: History, probe: str, gap: tuple[float, float]
) -> None:
    written = report.build(plus(good, *histories.sampled(probe, gap)), ())
    assert "client without a retry" not in report.text(written) + report.html(written)


def test_many_samples_make_a_small_page() -> None:
    """Ten probes answer every other question, for a minute: unjoined, each would be a stretch."""
    rows = [Event(0.0, "run", {"lab": "x", "scenario": "y"})]
    for number in range(10):
        rows.append(histories.instrument(f"p{number}"))
        rows += [
            histories.sample(f"p{number}", step * 0.02, step % 14 < 7, 0.001)
            for step in range(3000)
        ]
    written = report.build(history(rows), ())
    assert len(report.html(written)) < 1_000_000
    assert all(len(lane.stretches) <= lanes.MOST for lane in written.lanes)
    assert any(stretch.state == "mixed" for lane in written.lanes for stretch in lane.stretches)


def test_thinning_loses_no_outage() -> None:
    stretches = tuple(
        Stretch(step, step + 1, "bad" if step % 50 == 0 else "good") for step in range(1000)
    )
    few = lanes.thinned(stretches, 0.5)
    assert len(few) <= lanes.MOST
    assert all(
        any(each.begin <= bad.begin < each.end and each.state != "good" for each in few)
        for bad in stretches
        if bad.state == "bad"
    )


def test_the_lanes_tell_what_happened(crash: report.Report) -> None:
    rows = {(lane.group, lane.name): lane.stretches for lane in crash.lanes}
    (fault,) = rows["Faults", "crash"]
    assert (fault.begin, fault.end, fault.text) == (10.0, 22.0, "crash on m (@vip-holder)")
    assert [round(stretch.end) for stretch in rows["VIP holder", "m"]] == [10]
    assert [stretch.text for stretch in rows["etcd leader", "m3"]] == ["term 3"]
    assert [stretch.state for stretch in rows["Answers", "api.vip.new"]] == ["good", "bad", "good"]
    assert [stretch.state for stretch in rows["Nodes", "m"]] == ["good", "bad", "good"]
    assert ("etcd leader", "m2") not in rows


def test_two_runs_side_by_side(good: History, crash: report.Report) -> None:
    slower = changed(
        good,
        lambda event: (
            {"ok": False} if event.get("probe") == "api.vip.new" and FIRE < event.t < 14 else None
        ),
    )
    other = changed(slower, lambda event: {"distribution": "k3s"} if event.kind == "run" else None)
    comparison = report.compare(crash, report.build(other, report.judge(other, WANTED)))
    assert [(row.name, row.a, row.b) for row in comparison.about] == [
        ("distribution", "upstream", "k3s")
    ]
    rows = {row.name: row for row in comparison.figures}
    assert rows["longest outage of api.vip.new"].change == "2.500 s longer"
    assert rows["longest outage of api.lb.new"].change == "the same within resolution"
    assert rows["failover(vip) <= 3s"].change == "pass → fail"
    page = parsed(report.comparison_html(comparison))
    assert page.addresses == []
    assert page.seen.count("svg") == 2
    assert json.loads(report.comparison_json(comparison))["b"]["outcome"] == "fail"
    assert "pass → fail" in report.comparison_text(comparison)


def test_times_for_people() -> None:
    texts = {
        0.0: "0 ms",
        0.0204: "20 ms",
        0.9: "900 ms",
        3.003: "3.003 s",
        12.3456: "12.35 s",
        math.inf: "never ended",
    }
    assert {value: seconds(value) for value in texts} == texts


@pytest.mark.parametrize("end", [0.001, 0.5, 7.0, 30.0, 1234.0, 86400.0])
def test_ticks_are_round_and_few(end: float) -> None:
    ticks = svg.ticks(0.0, end)
    assert 3 <= len(ticks) <= 12
    assert all(0 <= tick <= end * 1.001 for tick in ticks)
