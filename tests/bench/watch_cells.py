"""How late a failure is a cell: on the terminal, and on the page in a real Chromium.

bench/watch_cells.py [LAB] [--times 20]. A sample's own time stamp is when its answer came, or when
it was given up: the history has the same. Without LAB, halab's own agent (built with Go) asks a TCP
server that comes and goes on this machine; its lines take the watch's whole way except the engine's
socket. With LAB, the load balancer is frozen. Each failure that follows an answer counts once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.theme import Theme

from lab.analysis.history.events import Event
from lab.measure import agent_config
from lab.measure.listener import Listener
from lab.measure.probe import ProbeSpec
from lab.watch import questions, terminal, web
from lab.watch.broadcast import Broadcast
from lab.watch.lab_shape import LabShape, shape_of
from lab.watch.reducer import Reducer
from lab.watch.source import Arrivals
from lab.watch.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "tests" / "e2e")]
UP_S, DOWN_S = 4.0, 1.5
"""A row is good for longer than the cells that are looked at for a failure."""
NEWEST = 4
"""So many cells at the end of a strip are looked at."""
COLUMNS, LINES = 200, 50
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
OBSERVE = """label => {
  window.seen = [];
  let failed = false;
  const look = () => {
    const rows = [...document.querySelectorAll("#strips .strip")];
    const row = rows.find(each => each.firstChild.textContent === label);
    const cells = row.querySelector("svg").viewBox.baseVal.width;
    const path = row.querySelector("path.f")?.getAttribute("d") ?? "";
    const now = [...path.matchAll(/H([0-9.]+)V10/g)].some(end => end[1] > cells - NEWEST);
    if (now && !failed) requestAnimationFrame(() => window.seen.push(Date.now() / 1000));
    failed = now;
  };
  const strips = document.querySelector("#strips");
  new MutationObserver(look).observe(strips, {childList: true, subtree: true});
}""".replace("NEWEST", str(NEWEST))
"""The browser paints what was changed in the next frame."""


@dataclass
class Fork:
    """Takes a source's events for several watches, and notes each first failure of a row."""

    probe: str
    begin: float = field(default_factory=time.monotonic)
    failures: list[tuple[float, float]] = field(default_factory=list)
    """When each failed, and when that was heard: POSIX times."""
    copies: list[Arrivals] = field(default_factory=list)
    _good: dict[str, bool] = field(default_factory=dict)

    @property
    def zero(self) -> float:
        """The POSIX time of the events' zero."""
        return time.time() - time.monotonic() + self.begin

    def now(self) -> float:
        return time.monotonic() - self.begin

    def copy(self) -> Arrivals:
        self.copies.append(Arrivals(self.begin))
        return self.copies[-1]

    def put(self, events: Iterable[Event]) -> None:
        taken = list(events)
        for copy in self.copies:
            copy.put(taken)
        for event in taken:
            self._note(event)

    def _note(self, event: Event) -> None:
        probe = str(event.get("probe"))
        if event.kind != "probe" or not probe.startswith(self.probe):
            return
        good = event.get("ok") is True
        row_was_good = self._good and all(self._good.values())
        if not good and row_was_good:
            self.failures.append((self.zero + event.end, time.time()))
        self._good[probe] = good


class ScreenReader(io.StringIO):
    """A terminal that notes when a row turns to failed."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label, self.seen, self._failed = label, [], False  # type: ignore[var-annotated]

    def write(self, text: str) -> int:
        now = time.time()
        for line in ESCAPES.sub("", text).splitlines():
            if line.startswith(f"{self.label} "):
                cells = re.split(r" (?:OUT|max) | +$", line[len(self.label) :].rstrip("\r"))[0]
                failed = "█" in cells.rstrip()[-NEWEST:]
                if failed and not self._failed:
                    self.seen.append(now)
                self._failed = failed
        return len(text)


# --- without a lab: the agent, and what it asks ---


class AgentProcess:
    """The agent as a conversation: its lines as they come."""

    def __init__(self, program: Path, configuration: dict[str, Any]) -> None:
        file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)  # noqa: SIM115
        with file:
            json.dump(configuration, file)
        argv = [str(program), file.name]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def lines(self) -> Iterator[tuple[bool, list[bytes]]]:
        assert self.process.stdout
        rest = b""
        while chunk := self.process.stdout.read1():  # type: ignore[attr-defined]
            *whole, rest = (rest + chunk).split(b"\n")
            if whole:
                yield True, whole

    def close(self) -> None:
        self.process.communicate(timeout=10)


class Server:
    """A TCP server that comes and goes."""

    def __init__(self) -> None:
        self.port = 0
        self._listener: socket.socket | None = None
        self.come()

    def come(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._answer, args=(self._listener,), daemon=True).start()

    def _answer(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    def go(self) -> None:
        assert self._listener
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def without_lab(fork: Fork) -> Iterator[tuple[LabShape, Callable[[], None], Callable[[], None]]]:
    """Sample a server of this machine as the watch samples the API by the VIP."""
    server = Server()
    rows = [
        ProbeSpec(
            name=f"{fork.probe}.{kind}",
            settings={"kind": "tcp", "addresses": [f"127.0.0.1:{server.port}"]},
            question="connect to a server of this machine",
            interval=questions.USERS_S,
            connection=kind,
        )
        for kind in ("new", "kept")
    ]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "probe"
        build = ["go", "build", "-o", str(program), "./probe"]
        subprocess.run(build, cwd=ROOT / "images" / "tools", check=True)
        fork.put(Event(0.0, "instrument", row.instrument()) for row in rows)
        agent = AgentProcess(program, agent_config.configuration(rows, attached=True))
        listener = Listener(agent, fork.begin, fork.put, dict)  # type: ignore[arg-type]
        try:
            yield LabShape("no lab"), server.go, server.come
        finally:
            agent.close()
            listener.join(10.0)


# --- with a lab: its load balancer ---


@contextlib.contextmanager
def with_lab(
    name: str, fork: Fork
) -> Iterator[tuple[LabShape, Callable[[], None], Callable[[], None]]]:
    """Sample a lab, and freeze and wake its load balancer."""
    from lab.cli.options import find_lab
    from lab.watch.feed import LiveFeed

    lab = find_lab(name)
    feed = LiveFeed(lab)
    feed._arrivals = fork  # type: ignore[assignment]
    feed.begin = fork.begin
    feed._outside._begin = fork.begin
    balancer = f"halab-{name}-{lab.topology.loadbalancer.name}"

    def engine(word: str) -> None:
        subprocess.run(["docker", word, balancer], check=True, capture_output=True)

    with feed:
        yield shape_of(lab.topology), lambda: engine("pause"), lambda: engine("unpause")


# --- what is measured ---


@contextlib.contextmanager
def on_terminal(watching: Watching, label: str) -> Iterator[ScreenReader]:
    """Draw a watch on a terminal."""
    reader = ScreenReader(label)
    term = Console(
        theme=Theme(terminal.STYLES), file=reader, force_terminal=True, width=COLUMNS, height=LINES
    )
    drawing = threading.Thread(target=terminal.show, args=(watching, term))
    drawing.start()
    try:
        yield reader
    finally:
        watching.ended.set()
        drawing.join()


@contextlib.contextmanager
def on_page(watching: Watching, label: str) -> Iterator[Page]:
    """Show a watch on a page in a browser that notes when a row turns to failed."""
    import chromium

    broadcast = Broadcast()
    with web.serving(broadcast) as server, chromium.started() as browser:
        telling = threading.Thread(target=web.tell, args=(watching, broadcast))
        telling.start()
        try:
            page = browser.new_page()
            page.goto(server.address)
            page.wait_for_selector("#strips .strip")
            page.evaluate(OBSERVE, label)
            yield page
        finally:
            watching.ended.set()
            telling.join()


def told(what: str, failures: list[tuple[float, float]], seen: list[float]) -> None:
    """Print how long after each failure it was seen."""
    delays = []
    for (failed, _), until in zip(failures, [*(at for at, _ in failures[1:]), 2e9], strict=True):
        found = [at - failed for at in seen if failed <= at < until]
        delays += found[:1]
    if not delays:
        print(f"{what}: none of {len(failures)} failures was seen")
        return
    median, worst = statistics.median(delays), max(delays)
    print(f"{what}: median of {len(delays)}: {median * 1000:.0f} ms, worst {worst * 1000:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lab", nargs="?", default="")
    parser.add_argument("--times", type=int, default=20)
    chosen = parser.parse_args()
    probe, label = ("api.lb", "API by LB") if chosen.lab else ("api.vip", "API by VIP")
    fork = Fork(probe)
    sources = [fork.copy(), fork.copy()]
    opened = with_lab(chosen.lab, fork) if chosen.lab else without_lab(fork)
    with opened as (shape, go, come):
        watches = [Watching(source, Reducer(shape, "live", fork.zero)) for source in sources]
        with on_terminal(watches[0], label) as screen, on_page(watches[1], label) as page:
            page.wait_for_timeout(UP_S * 1000)
            for _ in range(chosen.times):
                go()
                page.wait_for_timeout(DOWN_S * 1000)
                come()
                page.wait_for_timeout(UP_S * 1000)
            on_its_page = [float(at) for at in page.evaluate("() => window.seen")]
    heard = [at for _, at in fork.failures]
    told("heard by the watch", fork.failures, heard)
    told("its cell on the terminal", fork.failures, screen.seen)
    told("its cell on the page", fork.failures, on_its_page)


if __name__ == "__main__":
    main()
