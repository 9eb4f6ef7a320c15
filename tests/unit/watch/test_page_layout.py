"""The page can be read in a real Chromium: wide and narrow, light and dark, labs of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import histories
import pytest
import staged
import watched
from playwright.sync_api import expect
from staged import StagedLab, StagedLabs, served

from lab.analysis.history.events import Event
from lab.watch import page as pages
from lab.watch import recording, web
from lab.watch.broadcast import Broadcast
from lab.watch.delta import PlainStates
from lab.watch.lab_shape import LabShape
from lab.watch.reducer import Reducer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chromium import Visitor

    from lab.watch.state import WatchState

WIDTHS = [1280, 400]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_live_page_can_be_read(visit: Callable[..., Visitor], width: int) -> None:
    visitor, lab = visit(width), StagedLab()
    page = visitor.page
    with served(lab) as address:
        page.goto(address)
        expect(page.locator("#control")).to_be_visible()
        assert visitor.layout() == []
        lab.inject("crash", "@vip-holder")
        expect(page.locator("#tape")).to_contain_text("fencing begins")
        page.keyboard.press("p")  # no key of the page: it goes on
        page.keyboard.press(" ")
        expect(page.locator("#pause")).to_have_text("Play")
        assert visitor.layout() == []
        page.keyboard.press("b")
        assert visitor.layout() == []


def seen(
    masters: int,
    workers: int,
    parts: tuple[tuple[str, ...], ...],
    holders: tuple[str, ...],
    *faults: tuple[str, str],
) -> WatchState:
    """A lab of another size: all Ready, as Corosync, ARP and faults say."""
    names = [("m" if number == 1 else f"m{number}") for number in range(1, masters + 1)]
    rows = [(name, "master") for name in names] + [
        (f"w{number}", "worker") for number in range(1, workers + 1)
    ]
    reducer = Reducer(LabShape("x", (*rows, ("lb", "loadbalancer")), "172.30.0.50"))
    for name, _ in (*rows, ("lb", "loadbalancer")):
        reducer.feed(watched.machine(name, "running"))
    reducer.feed(watched.nodes(9.5, **{name: "Ready" for name, _ in rows}))
    for part in parts:
        for name in part:
            reducer.feed(Event(9.0, "cluster", {"node": name, "members": list(part)}))
    reducer.feed(histories.sample("vip.arp", 9.6, ok=True, value=list(holders)))
    for fault, node in faults:
        about = {"action": "fire", "id": f"{fault} {node}", "fault": fault, "node": node}
        reducer.feed(Event(8.0, "fault", about))
    for name in names:
        value = {"term": 12, "leader": name == "m"}
        reducer.feed(histories.sample(f"etcd.{name}", 9.7, ok=True, value=value))
    return reducer.view(10.0, pages.PageSize().cells, pages.PageSize().cell_s)


LABS = {
    "five masters": seen(5, 2, (("m", "m2", "m3", "m4", "m5"),), ("m4",), ("latency", "m5")),
    "two holders": seen(
        3,
        3,
        (("m",), ("m2", "m3")),
        ("m", "m2"),
        ("partition", "m"),
        *(("fencing-off", name) for name in ("m", "m2", "m3")),
    ),
    "twelve workers": seen(3, 12, (("m", "m2", "m3"),), ("m3",), ("nic-down", "w7")),
    "one master": seen(1, 1, (("m",),), ("m",)),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("lab", LABS)
def test_labs_of_any_size_can_be_read(visit: Callable[..., Visitor], width: int, lab: str) -> None:
    visitor, broadcast = visit(width), Broadcast()
    broadcast.publish(PlainStates().of(LABS[lab]))
    with web.serving(broadcast) as server:
        visitor.page.goto(server.address)
        expect(visitor.page.locator("#facts")).to_contain_text("term 12")
        assert visitor.layout() == []


@pytest.fixture(scope="module")
def run() -> dict[str, object]:
    """The recorded crash, as a page plays it."""
    return recording.record(staged.recorded())


@pytest.mark.parametrize("width", WIDTHS)
def test_an_exported_run_can_be_read_from_a_disk(
    visit: Callable[..., Visitor],
    run: dict[str, object],
    tmp_path: Path,
    width: int,
) -> None:
    file = tmp_path / "run.html"
    file.write_text(pages.with_run(run), encoding="utf-8")
    visitor = visit(width)
    page = visitor.page
    page.goto(file.as_uri())
    expect(page.locator("#lab")).to_have_text("3m3w (replay)")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
        if "✗ NOBODY" in page.locator("#facts").inner_text():
            assert visitor.layout() == []
    assert visitor.layout() == []
    assert "API by VIP: answers again" in page.locator("#tape").inner_text()
    page.keyboard.press("b")
    assert visitor.layout() == []
    assert visitor.asked == [file.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_cards_can_be_read(visit: Callable[..., Visitor], width: int) -> None:
    labs, visitor = StagedLabs("anna", "a-lab-with-a-long-name-of-a-class"), visit(width)
    page = visitor.page
    with labs.served("eve") as (_, address):
        page.goto(address)
        labs.labs["anna"].inject("crash", "m2")
        expect(page.locator("#cards a").nth(1)).to_contain_text("OUT")
        assert visitor.layout() == []
        page.keyboard.press("b")
        assert visitor.layout() == []
