"""A report in every format."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import histories
import pytest
from histories import FIRE, changed, plus
from html_page import parsed
from judged import WANTED

from lab.analysis import report
from lab.analysis.history.events import Event, History, history
from lab.analysis.report import lanes

if TYPE_CHECKING:
    from pathlib import Path


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
