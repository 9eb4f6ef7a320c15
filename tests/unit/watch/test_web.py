"""The page of a watch: who may ask, what is told, and that slow browsers delay nobody."""

from __future__ import annotations

import contextlib
import copy
import errno
import json
import re
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import histories
import pytest
import watched
from halab_runner import halab
from page_asker import CRASH, PATIENCE_S, ask, heard, order

from lab.analysis.history import events
from lab.base.errors import InputError
from lab.cli import watch
from lab.watch import page, web
from lab.watch.broadcast import Broadcast
from lab.watch.delta import PlainStates
from lab.watch.source import Replay
from lab.watch.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def broadcast() -> Broadcast:
    return Broadcast()


@pytest.fixture
def server(broadcast: Broadcast) -> Iterator[web.PageServer]:
    with web.serving(broadcast) as server:
        yield server


# --- who may ask ---


@pytest.fixture(scope="module")
def lasting() -> Iterator[web.PageServer]:
    """A server for those who are refused: to end one takes a moment."""
    with web.serving(Broadcast()) as server:
        yield server


STRANGERS = [
    (403, "GET", {"Host": "-"}),
    (403, "GET", {"Host": "127.0.0.1"}),
    (403, "GET", {"Host": "127.0.0.1:1"}),
    (403, "GET", {"Host": "lab.example.org:{port}"}),
    (403, "GET", {"Host": "127.0.0.1.nip.example:{port}"}),
    (403, "GET", {"Origin": "null"}),
    (403, "GET", {"Origin": "https://127.0.0.1:{port}"}),
    (403, "GET", {"Origin": "http://127.0.0.1:1"}),
    (403, "GET", {"Origin": "http://example.org"}),
    (403, "GET", {"Sec_Fetch_Site": "cross-site"}),
    (403, "GET", {"Sec_Fetch_Site": "same-site"}),
    (405, "POST", {}),
    (405, "HEAD", {}),
    (405, "OPTIONS", {}),
    (405, "DELETE", {}),
]
WITHOUT_TOKEN = [
    (401, "GET", {"Authorization": "-"}),
    (401, "GET", {"Authorization": "Bearer "}),
    (401, "GET", {"Authorization": "Bearer wrong"}),
    (401, "GET", {"Authorization": "Basic eDp5"}),
    (401, "GET", {"Authorization": "Bearer \xe4\xff"}),
]


@pytest.mark.parametrize(
    ("path", "status", "method", "headers"),
    [
        *(("/", *each) for each in STRANGERS),
        *(("/events", *each) for each in [*STRANGERS, *WITHOUT_TOKEN]),
        *(("/favicon.ico", *each) for each in WITHOUT_TOKEN[:1]),
    ],
)
def test_others_are_refused(
    lasting: web.PageServer, path: str, status: int, method: str, headers: dict[str, str]
) -> None:
    answer = ask(lasting, path, method, **headers)
    assert answer.status == status
    assert (answer.getheader("Allow") == "GET") == (status == 405)
    assert answer.getheader("Content-Security-Policy", "").startswith("default-src 'none'")
    assert answer.getheader("Cache-Control") == "no-store"
    assert b"<" not in answer.read()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:{port}", "Origin": "http://localhost:{port}"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_the_page_itself_may_ask(
    server: web.PageServer, broadcast: Broadcast, headers: dict[str, str]
) -> None:
    broadcast.publish({"lab": "3m3w"})
    answer = ask(server, **headers)
    assert answer.status == 200
    assert next(heard(answer)) == ("state", {"lab": "3m3w"})


# --- the control ---


class DoubleControl:
    """A double of what breaks a lab: it notes its orders, and is busy if told so."""

    nodes = ("m", "w1")
    message = "hang at m: it is"

    def __init__(self) -> None:
        self.busy = False
        self.orders: list[tuple[str, ...]] = []

    def inject(self, fault: str, target: str) -> bool:
        self.orders.append((fault, target))
        return not self.busy

    def heal(self) -> bool:
        self.orders.append(())
        return not self.busy


@pytest.fixture
def control() -> DoubleControl:
    return DoubleControl()


@pytest.fixture
def controlled(control: DoubleControl) -> Iterator[web.PageServer]:
    with web.serving(Broadcast(), control=control) as server:  # type: ignore[arg-type]
        yield server


def test_page_with_a_control_orders(controlled: web.PageServer, control: DoubleControl) -> None:
    told = json.loads(ask(controlled, "/control").read())
    assert {"crash", "hang"} <= set(told.pop("faults"))
    assert {"@vip-holder", "m", "w1"} <= set(told.pop("targets"))
    assert told == {"said": "hang at m: it is", "busy": False}
    assert order(controlled, CRASH).status == 202
    assert order(controlled, '{"heal": true}').status == 202
    control.busy = True
    assert order(controlled, CRASH).status == 409
    assert control.orders == [("crash", "@leader"), (), ("crash", "@leader")]


def test_page_that_names_no_fault_heals_none(
    controlled: web.PageServer, control: DoubleControl
) -> None:
    assert order(controlled, '{"fault": "", "target": ""}').status == 202
    assert control.orders == [("", "")]


@pytest.mark.parametrize(
    ("status", "text", "headers"),
    [
        (400, "nonsense", {}),
        (400, "[]", {}),
        (400, '{"heal": 1, "fault": "crash"}', {}),
        (400, '{"fault": "crash"}', {}),
        (400, CRASH, {"Content_Type": "text/plain"}),  # what a form of another site may send
        (400, CRASH, {"Content_Type": "-"}),
        (400, CRASH, {"Content_Length": "-"}),
        (400, CRASH, {"Content_Length": "-1"}),
        (400, CRASH, {"Content_Length": "1001"}),
        (401, CRASH, {"Authorization": "Bearer wrong"}),
        (401, CRASH, {"Authorization": "-"}),
        (403, CRASH, {"Origin": "http://example.org"}),
        (403, CRASH, {"Host": "lab.example.org:{port}"}),
        (403, CRASH, {"Sec_Fetch_Site": "cross-site"}),
    ],
)
def test_orders_of_others_and_nonsense_do_nothing(
    controlled: web.PageServer,
    control: DoubleControl,
    status: int,
    text: str,
    headers: dict[str, str],
) -> None:
    assert order(controlled, text, **headers).status == status
    assert control.orders == []


def test_control_is_an_option(server: web.PageServer) -> None:
    assert ask(server, "/control").status == 404
    assert order(server, CRASH).status == 405


def test_with_a_control_only_orders_are_posted(controlled: web.PageServer) -> None:
    assert [ask(controlled, path, "POST").status for path in ("/", "/events", "/x")] == [405] * 3


def test_page_has_no_data_and_strict_headers(lasting: web.PageServer) -> None:
    answer = ask(lasting, "/?big", Authorization="-")
    assert answer.status == 200
    assert answer.read().decode() == page.text()
    policy = answer.getheader("Content-Security-Policy", "")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Set-Cookie") is None
    assert answer.getheader("Server") == "halab"


def test_there_are_no_other_pages(lasting: web.PageServer) -> None:
    assert ask(lasting, "/favicon.ico").status == 404
    assert ask(lasting, "/../etc/passwd").status == 404


def test_tokens_are_random_and_stay_out_of_requests(
    server: web.PageServer, lasting: web.PageServer
) -> None:
    assert ask(server, Authorization=f"Bearer {lasting.token}").status == 401
    before, _, token = server.address.partition("#token=")
    assert before == f"http://127.0.0.1:{server.server_port}/"
    assert token == server.token
    assert len(token) >= 32
    assert server.server_address[0] == "127.0.0.1"


# --- what is told ---


def test_page_hears_the_state_then_what_changes_then_the_end(
    server: web.PageServer, broadcast: Broadcast
) -> None:
    values = PlainStates()
    first, second = values.of(watched.at(9.0)), values.of(watched.at(11.0))
    broadcast.publish(first)
    page_hears = heard(ask(server))
    assert next(page_hears) == ("state", first)
    broadcast.publish(first)
    broadcast.publish(second)
    kind, change = next(page_hears)
    assert kind == "change"
    assert change["health"] == second["health"]
    assert "lab" not in change
    broadcast.close()
    assert list(page_hears) == [("end", {})]


def test_who_comes_before_the_first_state_waits_for_it(
    server: web.PageServer, broadcast: Broadcast
) -> None:
    page_hears = heard(ask(server))
    broadcast.publish({"now": 1})
    assert next(page_hears) == ("state", {"now": 1})


def test_text_is_made_once_for_all_pages(
    server: web.PageServer, broadcast: Broadcast, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(
        "lab.watch.broadcast.json.dumps", lambda value, **_: made.append(value) or "{}"
    )
    broadcast.publish({"now": 1})
    pages = [heard(ask(server)) for _ in range(10)]
    assert [next(each)[0] for each in pages] == ["state"] * 10
    broadcast.publish({"now": 2})
    assert [next(each)[0] for each in pages] == ["change"] * 10
    assert len(made) == 2


def test_late_reader_gets_the_newest_state_and_nothing_between(broadcast: Broadcast) -> None:
    broadcast.publish({"now": 0})
    seen, _ = broadcast.after(0)
    for now in range(1, 1000):
        broadcast.publish({"now": now})
    seen, told = broadcast.after(seen)
    assert seen == 1000
    assert told == b'event: state\ndata: {"now":999}\n\n'


def test_browser_that_reads_nothing_delays_nobody(
    server: web.PageServer, broadcast: Broadcast, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_events = web.PageRequest._tell_events
    asked: list[web.PageRequest] = []

    def first_is_left_soon(request: web.PageRequest, shown: web.Shown) -> None:
        if not asked:
            request.connection.settimeout(0.2)
        asked.append(request)
        tell_events(request, shown)

    monkeypatch.setattr(web.PageRequest, "_tell_events", first_is_left_soon)
    # More than any buffer of the kernel holds: the browser's thread is stuck until the time-out.
    broadcast.publish({"now": 0, "text": "x" * 20_000_000})
    with socket.create_connection(("127.0.0.1", server.server_port)) as dead:
        dead.sendall(
            f"GET /events HTTP/1.0\r\nHost: 127.0.0.1:{server.server_port}\r\n"
            f"Authorization: Bearer {server.token}\r\n\r\n".encode()
        )
        assert dead.recv(15) == b"HTTP/1.0 200 OK"
        broadcast.publish({"now": 1, "text": ""})
        assert next(heard(ask(server))) == ("state", {"now": 1, "text": ""})
        broadcast.close()
        # The dead browser's place is free again, too.
        for _ in range(web.READERS):
            assert server.places.acquire(timeout=PATIENCE_S)


def test_pages_are_bounded(server: web.PageServer, broadcast: Broadcast) -> None:
    for _ in range(web.READERS):
        assert server.places.acquire(blocking=False)
    assert ask(server).status == 503


def test_port_that_is_taken_is_one_clear_error(server: web.PageServer) -> None:
    with pytest.raises(InputError, match=f"port {server.server_port} of 127.0.0.1 cannot be had"):
        web.PageServer(Broadcast(), server.server_port)


def test_watch_tells_its_states_until_it_ends(broadcast: Broadcast) -> None:
    reducer = watched.fed(watched.machine("m", "running"))
    web.tell(Watching(Replay(()), reducer), broadcast)
    _, told = broadcast.after(0)
    state = json.loads(told.partition(b"data: ")[2])
    assert state["lab"] == "3m3w"
    assert state["cell_s"] == page.PageSize().cell_s


# --- the page ---


def test_page_is_self_contained_and_small() -> None:
    assert len(page.text().encode()) < 50_000
    assert re.findall(r"https?://|//[a-z]|\burl\(|@import|\bsrc=|\bhref=", page.text()) == []
    # The policy allows neither, and text of a lab must never become HTML.
    assert (
        re.findall(r"innerHTML|insertAdjacent|document\.write|\beval\(|\bstyle=", page.text()) == []
    )
    assert page.text().count("<script>") == page.text().count("<style>") == 1


def test_exported_page_plays_by_itself(tmp_path: Path) -> None:
    run = copy.deepcopy(watched.recorded())
    run["frames"][0]["why"] = "</script><script>alert(1)</script><!--"
    text = page.with_run(run)
    assert text.count("<script>") == 1
    assert text.count("</script>") == 2
    assert "connect-src 'none'" in text
    data = re.search(r'<script type="application/json" id="run">(.*?)</script>', text)
    assert data is not None
    assert json.loads(data[1]) == run


@pytest.fixture
def run(tmp_path: Path) -> str:
    with (tmp_path / "history.jsonl").open("w", encoding="utf-8") as file:
        events.write(file, histories.good().events)
    return str(tmp_path)


def test_export_writes_one_file_and_overwrites_none(run: str, tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    assert "plays the run" in halab("watch", "--replay", run, "--export", str(file)).stdout
    assert "m2 answers for the VIP" in file.read_text(encoding="utf-8")
    again = halab("watch", "--replay", run, "--export", str(file), code=2)
    assert "exists already" in again.stderr
    other = str(tmp_path / "other.html")
    done = halab("watch", "--replay", run, "--export", other, "-o", "json")
    assert json.loads(done.stdout) == {"file": other, "bytes": Path(other).stat().st_size}
    nowhere = str(tmp_path / "no" / "folder.html")
    assert (
        "cannot be written" in halab("watch", "--replay", run, "--export", nowhere, code=2).stderr
    )


@pytest.mark.parametrize("step", ["open", "replace"])
def test_export_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="No space"):
        watch._write_new(tmp_path / "run.html", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What a page hears that is opened as soon as the command serves one."""
    found: list[tuple[str, Any]] = []
    serving = web.serving

    @contextlib.contextmanager
    def heard_by_a_page(
        told: Broadcast, port: int, control: None = None
    ) -> Iterator[web.PageServer]:
        with serving(told, port, control) as server:
            # Its answer begins before the command tells anything.
            page_hears = heard(ask(server))
            reader = threading.Thread(target=lambda: found.extend(page_hears))
            reader.start()
            yield server
        reader.join(PATIENCE_S)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.server_port))

    monkeypatch.setattr(web, "serving", heard_by_a_page)
    return found


def test_replay_is_served_until_it_is_ended(run: str, told: list[tuple[str, Any]]) -> None:
    done = halab("watch", "--replay", run, "--web", "--speed", "5", "--for", "1ms", "-o", "json")
    assert json.loads(done.stdout)["address"].startswith("http://127.0.0.1:")
    assert [kind for kind, _ in told] == ["run", "end"]
    assert told[0][1]["speed"] == 5


def test_lab_is_served_until_the_watch_ends(
    told: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def live(lab: str, urls: tuple[str, ...], for_s: float | None) -> Iterator[Watching]:
        yield Watching(Replay([watched.machine("m", "exited", 0.0)]), watched.fed(), for_s)

    monkeypatch.setattr("lab.cli.watch._live", live)
    done = halab("watch", "3m3w", "--web")
    assert re.match(r"the watch is at http://127\.0\.0\.1:\d+/#token=\S+ ", done.stdout)
    assert [kind for kind, _ in told] == ["state", "end"]
    assert told[0][1]["lab"] == "3m3w"
    assert told[0][1]["nodes"][0]["machine"] == "exited"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--port", "8000"), "add --web"),
        (("x", "--control"), "add --web"),
        (("--replay", "y", "--web", "--control"), "without --replay"),
        (("x", "--export", "run.html"), "add --replay RUN"),
        (("--replay", "y", "--web", "--export", "run.html"), "without --web"),
        (("--replay", "there/is/none", "--web"), "no run"),
    ],
)
def test_watch_refuses_what_does_not_go_together(words: tuple[str, ...], said: str) -> None:
    assert said in halab("watch", *words, code=2).stderr
