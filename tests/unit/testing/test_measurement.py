"""Figures of a measurement: compared with the worst that they may have been, and judged."""

from __future__ import annotations

import contextlib
import importlib
import operator
from typing import TYPE_CHECKING, Any

import fake_labs
import histories
import pytest

from lab.analysis.history.events import Event, history
from lab.analysis.verdicts import Figure
from lab.base.errors import InputError, LabError
from lab.measure.pace import Pace
from lab.testing import HalabLab, measuring
from lab.testing.measurement import ExpectationNotMet, Measurement, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SHOP = [*histories.sampled("shop", (10.0, 11.0)), *histories.sampled("cart", (40.0, 41.0))]


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    writing = importlib.import_module("lab.analysis.report.write")
    monkeypatch.setattr(writing, "png", lambda _: b"")


@pytest.fixture
def measured(tmp_path: Path) -> Measurement:
    measurement = Measurement(tmp_path)
    measurement.finish(history(SHOP))
    return measurement


def test_seconds_pass_only_if_the_worst_would() -> None:
    seen = Seconds(Figure("outage(shop)", 1.4, "s", 0.04))
    assert seen <= 2
    assert seen < 1.5
    assert seen >= 1.4
    doubted = Seconds(Figure("outage(shop)", 1.4, "s", 0.04, worst=2.5, note="did not look"))
    assert not doubted <= 2
    assert not operator.ge(2.0, doubted)
    assert repr(doubted) == "1.400 s (±0.040, at most 2.500; did not look)"
    with pytest.raises(LabError, match="not measured: too few"):
        Seconds(Figure("outage(shop)", None, note="too few"))


def test_measurement_has_the_figures_of_a_probe(measured: Measurement) -> None:
    assert measured.outage("shop") == pytest.approx(1.0, abs=0.05)
    assert measured.unavailable("shop") <= 1.1
    assert (measured.outages("shop"), measured.outages("cart")) == (1, 0)
    assert not measured.outage("cart")
    with pytest.raises(InputError, match="cart, shop"):
        measured.outage("shops")


def test_measurement_that_goes_on_has_no_figures(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="still going on"):
        Measurement(tmp_path).outage("shop")


def test_measurement_of_a_dead_instrument_says_nothing(tmp_path: Path) -> None:
    measurement = Measurement(tmp_path)
    measurement.finish(history([*SHOP, Event(5.0, "agent", {"state": "end", "code": 137})]))
    with pytest.raises(LabError, match="the instrument died"):
        measurement.outage("cart")


def test_expectation_is_met_or_an_assertion_with_its_reasons(measured: Measurement) -> None:
    assert measured.expect("outage(shop) <= 2s").outcome == "pass"
    with pytest.raises(ExpectationNotMet, match=r"fail: outage\(shop\) <= 500ms") as caught:
        measured.expect("outage(shop) <= 500ms")
    assert "measured: 1000 ms" in str(caught.value)
    assert str(measured.folder) in str(caught.value)
    assert "outage(shop) <= 500ms" in (measured.folder / "report.txt").read_text()
    with pytest.raises(ExpectationNotMet, match="unknown"):
        measured.expect("outage(api.vip) <= 5s")
    with pytest.raises(InputError, match="no expectation knows"):
        measured.expect("outtage(shop) <= 1s")


# --- the run around a block ---


class DoubleInstruments:
    """A double of the instruments: samples of `shop` come by themselves."""

    made: list[DoubleInstruments]

    def __init__(self, lab: Any, folder: Path, reporter: Any, pace: float, more: Any) -> None:
        del lab, reporter
        self.folder, self.pace, self.more = folder, pace, more
        self.begin, self.left, self.running = 0.0, (), False
        self.names: Iterable[str] | None = None
        self.events = [*SHOP]
        DoubleInstruments.made.append(self)

    def note(self, event: Event) -> None:
        self.events.append(event)

    def start(self, names: Iterable[str] | None) -> None:
        self.names, self.running = names, True

    def stop(self) -> Any:
        self.running = False
        return history(self.events)

    def steps(self) -> list[str]:
        return [event.data["state"] for event in self.events if event.kind == "step"]


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake_labs.install(monkeypatch)
    DoubleInstruments.made = []
    monkeypatch.setattr(measuring, "Instruments", DoubleInstruments)
    monkeypatch.setattr(measuring, "SETTLE_S", 0)
    monkeypatch.setattr(measuring, "about", lambda *_: {"lab": "x", "scenario": "test"})
    monkeypatch.setattr(measuring.pace, "of", lambda _: Pace(2.0))

    def note(self: Any, kind: str, **values: Any) -> None:
        DoubleInstruments.made[-1].note(Event(0.0, kind, values))

    monkeypatch.setattr(fake_labs.FakeRun, "note", note, raising=False)
    with HalabLab("3m3w") as lab:
        yield lab


def test_block_is_measured_and_judged(lab: HalabLab) -> None:
    with lab.measure("http://vip:30080/", "shop", probes=("api.vip",)) as measurement:
        (instruments,) = DoubleInstruments.made
        assert instruments.running
        (probe,) = instruments.more
    assert not instruments.running
    assert (instruments.names, instruments.pace, probe.name) == (("api.vip",), 2.0, "shop")
    assert probe.settings["addresses"] == [f"{lab.vip}:30080"]
    assert instruments.steps() == ["begin", "end"]
    assert lab.measurements == [measurement]
    assert lab.expect("outage(shop) <= 2s")
    assert {"report.html", "report.txt"} <= set(measurement.files)


def test_block_that_raises_is_measured_to_its_end(lab: HalabLab) -> None:
    with pytest.raises(ZeroDivisionError), lab.measure():
        raise ZeroDivisionError
    assert DoubleInstruments.made[0].steps() == ["begin", "failed"]
    assert "ZeroDivisionError" in (lab.measurements[0].folder / "report.txt").read_text()


def test_what_cannot_be_asked_is_refused_before_anything_is_made(lab: HalabLab) -> None:
    for url, name, said in (
        ("http://1.1.1.1/", "shop", "not in the lab's subnet"),
        ("http://vip:30080/", "api.mine", "halab's own"),
        ("ftp://vip/", "shop", "kubectl:// can be measured"),
        ("http://vip:30080/", "my shop", "cannot name a probe"),
    ):
        with pytest.raises(InputError, match=said), lab.measure(url, name):
            pytest.fail("it was measured")
    assert not DoubleInstruments.made


def test_lab_is_measured_by_one_at_a_time(lab: HalabLab) -> None:
    with lab.measure(), pytest.raises(LabError, match="a run is going on"), lab.measure():
        pytest.fail("it was measured twice at once")


def test_nothing_can_be_expected_of_nothing(lab: HalabLab) -> None:
    with pytest.raises(LabError, match="nothing was measured"):
        lab.expect("vip_unique")


def test_faults_of_a_block_are_noted_in_its_run(lab: HalabLab) -> None:
    faults = lab._breaking
    outside = faults.run
    with contextlib.suppress(ZeroDivisionError), lab.measure():
        assert faults.run is not outside
        raise ZeroDivisionError
    assert faults.run is outside
