"""The page in a real Chromium: what it shows, by mouse and by keyboard."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import watched
from playwright.sync_api import expect
from staged import StagedLab, StagedLabs, served

from lab.base.wait import Observation, until
from lab.chaos import targets
from lab.watch import web
from lab.watch.broadcast import Broadcast
from lab.watch.delta import PlainStates

if TYPE_CHECKING:
    from collections.abc import Callable

    from chromium import Visitor
    from playwright.sync_api import Page, Route

SEQUENCE = (
    "⚡ fault crash on m2",
    "▣ m2 is exited",
    "… Corosync lost a token",
    "⚭ new membership",
    "✂ fencing begins: m2",
    "★ nobody answers for the VIP",
    "✂ fenced: m2",
    "★ m answers for the VIP",
    "✓ API by VIP: answers again after",
)
"""Of the recorded crash, in this order."""
CONTROLS = ["pause", "back", "forth", "big", "fault", "target", "inject", "heal", "log"]


def told(page: Page) -> str:
    return page.locator("#tape").inner_text()


def press_until(visitor: Visitor, name: str) -> None:
    """Go to a control with the tabulator."""
    for _ in range(2 * len(CONTROLS)):
        if visitor.focused() == name:
            return
        visitor.page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach #{name}")


def test_a_crash_is_injected_from_the_page_which_shows_its_sequence(
    visit: Callable[..., Visitor],
) -> None:
    """By keyboard alone, from a healthy lab until its users are served again."""
    lab, visitor = StagedLab(), visit()
    with served(lab) as address:
        page = visitor.page
        page.goto(address)
        expect(page.locator("#health")).to_contain_text("HEALTHY")
        press_until(visitor, "fault")
        page.keyboard.type("crash")
        press_until(visitor, "target")
        page.keyboard.type("@vip-holder")
        press_until(visitor, "inject")
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_have_text("crash at m2: the engine says exited")
        expect(page.locator("#tape")).to_contain_text("API by VIP: no answer")
        expect(page.locator("#health")).to_contain_text("DEGRADED")
        expect(page.locator("#picture [data-name=m2]")).to_have_class("bad")
        expect(page.locator("#tape")).to_contain_text(SEQUENCE[-1])
        text = told(page)
        places = [text.find(each) for each in SEQUENCE]
        assert places == sorted(places)
        assert places[0] >= 0
        expect(page.locator("#facts")).to_contain_text("✓ m has 172.30.0.50")
        press_until(visitor, "heal")
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_have_text("healed everything")
    assert lab.orders == [("crash", "@vip-holder"), ()]


def test_a_machine_of_the_picture_is_the_target_by_a_click(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    with served(StagedLab()) as address:
        visitor.page.goto(address)
        expect(visitor.page.locator("#control")).to_be_visible()
        visitor.page.locator("#picture [data-name=w2]").click()
        expect(visitor.page.locator("#target")).to_have_value("w2")


def test_tab_reaches_every_control_and_enter_works(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    with served(StagedLab()) as address:
        page.goto(address)
        expect(page.locator("#control")).to_be_visible()
        reached = []
        for _ in CONTROLS:
            page.keyboard.press("Tab")
            reached.append(visitor.focused())
        assert reached == CONTROLS
        may = "button, select, input, a[href], [tabindex]"
        ids = "all => all.filter(each => each.checkVisibility()).map(each => each.id)"
        assert page.locator(may).evaluate_all(ids) == CONTROLS
        for name, shown, text in (
            ("pause", "playing", re.compile("^Paused at event")),
            ("pause", "pause", "Pause"),
            ("back", "playing", re.compile("^Paused at event 1 of 1$")),
            ("big", "big", "Big type"),
        ):
            page.focus(f"#{name}")
            page.keyboard.press("Enter")
            expect(page.locator(f"#{shown}")).to_have_text(text)
        expect(page.locator("#big")).to_have_attribute("aria-pressed", "true")


def test_parts_have_roles_and_names(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.page
    with served(StagedLab()) as address:
        page.goto(address)
        expect(page.locator("#control")).to_be_visible()
        for role, name in (
            ("heading", "3m3w"),
            ("navigation", "What is shown"),
            ("button", "To the event before"),
            ("form", "Break and heal the lab"),
            ("combobox", "Fault"),
            ("combobox", "Target"),
            ("list", "What users feel"),
            ("img", "m2: Ready"),
            ("log", "Events"),
        ):
            expect(page.get_by_role(role, name=name).first).to_be_visible()  # type: ignore[arg-type]
        expect(page.get_by_role("status").first).to_contain_text("HEALTHY")
        assert page.get_by_role("listitem").filter(has_text="API by VIP").count() == 1


def test_without_a_control_nothing_can_be_broken(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    with served(StagedLab(), control=False) as address:
        visitor.page.goto(address)
        expect(visitor.page.locator("#health")).to_contain_text("HEALTHY")
        assert visitor.page.locator("#control").is_hidden()
    expect(visitor.page.locator("#notice")).to_contain_text("The watch has ended")
    assert [url for url in visitor.asked if "control" in url] == []


def test_a_replay_is_played_to_its_end_by_the_page(visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    with web.serving(web.run_broadcast({**watched.recorded(), "speed": 100})) as server:
        visitor.page.goto(server.address)
        expect(visitor.page.locator("#lab")).to_have_text("3m3w (replay)")
        expect(visitor.page.locator("#playing")).to_contain_text("The run is over")
        assert "m2 answers for the VIP" in told(visitor.page)
        assert server.token not in visitor.page.content()
        assert server.token not in visitor.page.url
        assert visitor.page.get_by_role("slider", name="Place in the run").is_visible()


def test_a_tab_that_is_one_too_many_says_so(visit: Callable[..., Visitor]) -> None:
    """Browsers keep six connections to an address, and each tab that listens has one."""
    visitor, broadcast = visit(), Broadcast()
    broadcast.publish(PlainStates().of(watched.at(9.0)))
    with web.serving(broadcast) as server:
        tabs = [visitor.page, *(visitor.context.new_page() for _ in range(6))]
        for tab in tabs:
            tab.goto(server.address)

        def waiting() -> list[Page]:
            return [tab for tab in tabs if tab.locator("#lab").inner_text() != "3m3w (replay)"]

        def one_waits() -> Observation:
            count = len(waiting())
            return Observation(ok=count == 1, detail=f"{count} tabs wait")

        # Which one is too many is the browser's to say.
        until("six of seven tabs show the lab", one_waits, timeout_s=90)
        late = waiting()
        expect(late[0].locator("#notice")).to_contain_text("six tabs at most")
        next(tab for tab in tabs if tab not in late).close()
        expect(late[0].locator("#lab")).to_have_text("3m3w (replay)")
        # Not hidden: this lab says nothing more, and after three seconds the page says that.
        expect(late[0].locator("#notice")).not_to_contain_text("six tabs at most")


def test_a_tab_whose_first_try_failed_says_that_it_waits(visit: Callable[..., Visitor]) -> None:
    """On a busy machine the first connection may be cut before it is answered."""
    visitor, broadcast = visit(), Broadcast()
    tries: list[Route] = []

    def first_fails_and_second_waits(route: Route) -> None:
        tries.append(route)
        if len(tries) == 1:
            route.abort()

    visitor.page.route("**/events", first_fails_and_second_waits)
    with web.serving(broadcast) as server:
        visitor.page.goto(server.address)
        expect(visitor.page.locator("#notice")).to_contain_text("six tabs at most")
    assert len(tries) > 1


def test_several_labs_have_a_health_word_each_and_a_click_opens_one(
    visit: Callable[..., Visitor],
) -> None:
    labs, visitor = StagedLabs("anna", "ben"), visit()
    page = visitor.page
    with labs.served("eve") as (_, address):
        page.goto(address)
        expect(page).to_have_title("? 3 labs: 1 unknown, 2 healthy")
        cards = page.get_by_role("main", name="Labs").get_by_role("link")
        expect(cards).to_have_text(
            [
                re.compile("^anna.*HEALTHY"),
                re.compile("^ben.*HEALTHY"),
                re.compile("^eve.*half there"),
            ]
        )
        labs.labs["ben"].inject("crash", "m2")
        expect(cards.nth(1)).to_contain_text("DEGRADED")
        expect(cards.nth(0)).to_contain_text("HEALTHY")
        cards.nth(1).click()
        expect(page.locator("#lab")).to_have_text("ben")
        expect(page.locator("#tape")).to_contain_text("fault crash on m2")
        page.locator("#all").click()
        expect(cards.nth(0)).to_contain_text("HEALTHY")


def test_a_click_opens_a_lab_whose_card_changes_meanwhile(visit: Callable[..., Visitor]) -> None:
    labs, visitor = StagedLabs("anna", "ben"), visit()
    page = visitor.page
    with labs.served() as (_, address):
        page.goto(address)
        ben = page.get_by_role("link", name="ben")
        expect(ben).to_contain_text("HEALTHY")
        ben.get_by_text("HEALTHY").hover(force=True)
        page.mouse.down()
        labs.labs["ben"].inject("crash", "m2")
        expect(ben).to_contain_text("DEGRADED")
        page.mouse.up()
        expect(page.locator("#lab")).to_have_text("ben")


def test_labs_are_opened_broken_and_left_by_keyboard(visit: Callable[..., Visitor]) -> None:
    labs, visitor = StagedLabs("anna", "ben"), visit()
    page = visitor.page
    with labs.served() as (_, address):
        page.goto(address)
        expect(page.locator("#cards a")).to_have_count(2)
        for _ in ("big", "anna", "ben"):
            page.keyboard.press("Tab")
        assert visitor.focused() == "ben"
        page.keyboard.press("Enter")
        expect(page.locator("#lab")).to_have_text("ben")
        expect(page.locator("#control")).to_be_visible()
        assert visitor.focused() == "all"
        page.select_option("#target", targets.SELECTORS[0])
        page.focus("#inject")
        page.keyboard.press("Enter")
        expect(page.locator("#health")).to_contain_text("DEGRADED")
        page.focus("#all")
        page.keyboard.press("Enter")
        expect(page.locator("#cards a").nth(1)).to_be_focused()
        page.go_back()
        expect(page.locator("#lab")).to_have_text("ben")
    assert (len(labs.labs["ben"].orders), labs.labs["anna"].orders) == (1, [])
    expect(page.locator("#notice")).to_contain_text("has ended")


def test_a_lab_that_comes_has_a_card_and_one_that_goes_has_none(
    visit: Callable[..., Visitor],
) -> None:
    labs, visitor = StagedLabs("anna", "ben"), visit()
    page = visitor.page
    with labs.served() as (grid, address):
        page.goto(address)
        expect(page.locator("#cards a")).to_have_count(2)
        grid.follow(["ben", "eve"])
        expect(page.locator("#cards a strong")).to_have_text(["ben", "eve"])
        grid.follow([])
        expect(page.locator("#health")).to_contain_text("No lab is here yet")
