"""Several labs on one page: their cards, what is told of one, and the command that shows them."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import watched
from halab_runner import halab
from page_asker import CRASH, PATIENCE_S, ask, heard, order

from lab.base.errors import EngineError, InputError, LabError
from lab.base.wait import Observation, until
from lab.cli import watch as command
from lab.watch import lab_grid, web
from lab.watch.broadcast import Broadcast
from lab.watch.lab_grid import LabGrid
from lab.watch.lab_shape import LabShape
from lab.watch.page import PageSize
from lab.watch.reducer import Reducer
from lab.watch.source import Arrivals
from lab.watch.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class DoubleControl:
    """A double of what breaks a lab."""

    nodes, message, busy, left = ("m",), "", False, ()

    def __init__(self) -> None:
        self.orders: list[tuple[str, ...]] = []

    def inject(self, fault: str, target: str) -> bool:
        self.orders.append((fault, target))
        return True

    def heal(self) -> bool:
        self.orders.append(())
        return True


class DoubleLabs:
    """Labs that are watched; `open` are those whose watch goes on."""

    def __init__(self) -> None:
        self.arrivals = {name: Arrivals() for name in ("anna", "ben")}
        self.controls = {name: DoubleControl() for name in self.arrivals}
        self.open: list[str] = []
        self.why = "lab is only half there"

    @contextlib.contextmanager
    def watch(self, name: str) -> Iterator[Watching]:
        if name not in self.arrivals:
            raise LabError(self.why)
        watching = Watching(self.arrivals[name], Reducer(LabShape(name)))
        watching.control = self.controls[name]  # type: ignore[assignment]
        self.open.append(name)
        yield watching
        self.open.remove(name)


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> DoubleLabs:
    monkeypatch.setattr(lab_grid, "QUIET_S", 0.05)  # a watch ends at its next look
    return DoubleLabs()


@pytest.fixture
def grid(labs: DoubleLabs) -> Iterator[LabGrid]:
    grid = LabGrid(labs.watch, control=True)
    yield grid
    grid.close()


def cards(grid: LabGrid) -> dict[str, dict[str, Any]]:
    _, told = grid.broadcast.after(0)
    return {each["name"]: each for each in json.loads(told.partition(b"data: ")[2])["labs"]}


def eventually(what: str, looks: Callable[[], Any]) -> None:
    until(what, lambda: Observation(ok=bool(looks()), detail="not yet"), timeout_s=PATIENCE_S)


def test_a_card_has_the_health_and_what_most_users_feel() -> None:
    state = watched.at(11.0)
    told = lab_grid.card(state)
    assert (told["name"], told["health"]) == ("3m3w", "degraded")
    assert "nobody answers for the VIP" in told["why"]
    assert told["label"] == "API by VIP"
    assert told["outage"] == pytest.approx(1.0, abs=0.1)
    assert told["cells"] == state.strips[0].cells
    assert lab_grid.silent_card("x", "why").keys() == told.keys()
    assert lab_grid.card(Reducer(LabShape("x")).view()).keys() == told.keys()


def test_each_lab_has_a_card_that_follows_it(grid: LabGrid, labs: DoubleLabs) -> None:
    assert cards(grid) == {}
    grid.follow(["ben", "anna"])
    assert list(cards(grid)) == ["anna", "ben"]
    labs.arrivals["ben"].put([watched.machine("m", "running"), watched.machine("m", "exited")])
    eventually("ben's card says so", lambda: cards(grid)["ben"]["health"] == "stopped")
    assert cards(grid)["anna"]["health"] == "unknown"


def test_labs_that_are_not_followed_any_more_are_let_go(grid: LabGrid, labs: DoubleLabs) -> None:
    grid.follow(["anna", "ben"])
    eventually("both are watched", lambda: sorted(labs.open) == ["anna", "ben"])
    gone = grid.find("anna")
    grid.follow(["ben"])
    assert (labs.open, list(cards(grid)), grid.find("anna")) == (["ben"], ["ben"], None)
    assert gone is not None
    assert gone.broadcast.after(0)[0] == 0  # whoever had it open is told the end
    grid.close()
    assert labs.open == []


def test_whoever_asks_while_all_watches_end_is_told_the_end(
    server: web.PageServer, grid: LabGrid
) -> None:
    """A page that was just opened asked for `/control` then, and failed with 404."""
    grid.close()
    assert list(heard(ask(server, "/events?lab=ben")))[-1] == ("end", {})
    answer = ask(server, "/control?lab=ben")
    assert (answer.status, json.loads(answer.read())["targets"][-1]) == (200, "m")


def test_a_lab_that_cannot_be_watched_says_why_and_is_tried_again(
    grid: LabGrid, labs: DoubleLabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab_grid, "AGAIN_S", 0.01)
    grid.follow(["eve"])
    eventually("its card says why", lambda: cards(grid)["eve"]["why"] == labs.why)
    labs.controls["eve"] = DoubleControl()
    labs.arrivals["eve"] = Arrivals()
    eventually("it is watched", lambda: labs.open == ["eve"])


def test_states_are_made_for_who_reads_them(grid: LabGrid, labs: DoubleLabs) -> None:
    grid.follow(["anna"])
    shown = grid.find("anna")
    assert shown is not None
    eventually("it is watched", lambda: labs.open == ["anna"])
    assert shown.broadcast._version == 0
    with shown.broadcast.reading():
        assert json.loads(shown.broadcast.after(0)[1].partition(b"data: ")[2])["lab"] == "anna"
    # Who comes later must not see how it was then.
    eventually("it is forgotten", lambda: shown.broadcast._version == 0)


def test_what_somebody_reads_is_not_forgotten() -> None:
    broadcast = Broadcast()
    with broadcast.reading():
        broadcast.publish({"now": 1})
        broadcast.forget()
        assert broadcast.after(0)[0] == 1
    broadcast.forget()
    broadcast.publish({"now": 2})
    assert broadcast.after(0) == (1, b'event: state\ndata: {"now":2}\n\n')


@pytest.fixture
def server(grid: LabGrid) -> Iterator[web.PageServer]:
    with web.serving(grid.broadcast, labs=grid.find) as server:
        grid.follow(["anna", "ben"])
        yield server


def test_page_hears_the_cards_or_one_lab(server: web.PageServer) -> None:
    kind, told = next(heard(ask(server)))
    assert (kind, [each["name"] for each in told["labs"]]) == ("grid", ["anna", "ben"])
    page = heard(ask(server, "/events?lab=ben"))
    assert next(page) == ("control", {})
    kind, told = next(page)
    assert (kind, told["lab"], told["cell_s"]) == ("state", "ben", PageSize().cell_s)
    answer = ask(server, "/events?lab=nobody")
    assert (answer.status, answer.read()) == (404, b"no lab `nobody` is watched here\n")


def test_an_order_is_for_one_lab(server: web.PageServer, labs: DoubleLabs) -> None:
    eventually("both are watched", lambda: len(labs.open) == 2)
    assert order(server, CRASH, path="/control?lab=ben").status == 202
    assert order(server, CRASH, path="/control?lab=nobody").status == 405
    assert order(server, CRASH).status == 405
    assert ask(server, "/control").status == 404
    assert (labs.controls["ben"].orders, labs.controls["anna"].orders) == (
        [("crash", "@leader")],
        [],
    )


def test_without_the_option_no_lab_can_be_broken(labs: DoubleLabs) -> None:
    grid = LabGrid(labs.watch)
    try:
        with web.serving(grid.broadcast, labs=grid.find) as server:
            grid.follow(["ben"])
            eventually("it is watched", lambda: labs.open)
            assert order(server, CRASH, path="/control?lab=ben").status == 405
            assert next(heard(ask(server, "/events?lab=ben")))[0] == "state"
            assert grid.controls == ()
    finally:
        grid.close()


# --- the command ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a", "b"), "a terminal shows one lab"),
        (("a", "b"), "add --web"),
        (("--all",), "add --web"),
        (("--all", "a", "--web"), "leave out their names"),
        (("--replay", "y", "--all", "--web"), "leave out the lab"),
    ],
)
def test_several_labs_are_for_a_page(words: tuple[str, ...], said: str) -> None:
    assert said in halab("watch", *words, code=2).stderr


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, labs: DoubleLabs) -> list[dict[str, Any]]:
    """What a page hears that is opened before the command follows a lab."""
    found: list[dict[str, Any]] = []
    serving = web.serving

    @contextlib.contextmanager
    def heard_by_a_page(*given: Any, **named: Any) -> Iterator[web.PageServer]:
        with serving(*given, **named) as server:
            page = heard(ask(server))
            reader = threading.Thread(
                target=lambda: found.extend(value for kind, value in page if kind == "grid")
            )
            reader.start()
            eventually("the page shows what there is", lambda: found)
            yield server
        reader.join(PATIENCE_S)

    @contextlib.contextmanager
    def live(name: str, _: tuple[str, ...], __: float | None) -> Iterator[Watching]:
        with labs.watch(name) as watching:
            yield watching

    monkeypatch.setattr(web, "serving", heard_by_a_page)
    monkeypatch.setattr(command, "_live", live)
    return found


def test_all_labs_are_shown_and_followed(
    told: list[dict[str, Any]], labs: DoubleLabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter((["anna"], EngineError("the engine is gone"), ["anna", "ben"]))
    seen: list[list[str]] = []

    def all_labs() -> list[str]:
        found = next(looks, None)
        if found is None:
            seen.append(list(labs.open))
            raise KeyboardInterrupt
        if isinstance(found, EngineError):
            raise found
        return found

    monkeypatch.setattr(command, "LABS_S", 0.01)
    monkeypatch.setattr(command, "_all_labs", all_labs)
    done = halab("watch", "--all", "--web", "-o", "json")
    assert json.loads(done.stdout)["address"].startswith("http://127.0.0.1:")
    assert told[0]["labs"] == []
    assert seen
    assert labs.open == []


def test_labs_that_are_named_are_shown_for_a_time(
    told: list[dict[str, Any]], labs: DoubleLabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> Any:
        if name not in labs.arrivals:
            raise InputError(f"there is no lab `{name}`")
        return type("Found", (), {"topology": None})

    monkeypatch.setattr(command, "find_lab", find)
    monkeypatch.setattr(command, "_probes", lambda *_: ())
    assert "no lab `eve`" in halab("watch", "anna", "eve", "--web", code=2).stderr
    done = halab("watch", "anna", "ben", "--web", "--control", "--for", "10ms")
    assert "the watch is at http://127.0.0.1:" in done.stdout
    assert [each["labs"] for each in told[:1]] == [[]]
    assert labs.open == []
