"""The watch's page on a real lab: it breaks a node, shows what happens, and heals it."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import chromium
from chromium import Visitor
from labs import HALAB
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labs import Inside

PATIENCE_S = 120.0


class Page:
    """A browser's part: it hears the events, and sends orders."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self.host = url.netloc
        self.headers = {"Authorization": f"Bearer {url.fragment.partition('=')[2]}"}
        self.heard = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        connection = http.client.HTTPConnection(self.host)
        connection.request("GET", "/events", headers=self.headers)
        answer = connection.getresponse()
        with contextlib.suppress(OSError, http.client.HTTPException):
            while text := answer.read1():
                self.heard += text.decode(errors="replace")

    def ask(self, method: str, order: dict[str, Any] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_S)
        body = json.dumps(order) if order else None
        more = {"Content-Type": "application/json", "Origin": f"http://{self.host}"}
        connection.request(method, "/control", body, self.headers | (more if order else {}))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    @property
    def done(self) -> str:
        """What the last order did; empty while it is carried out."""
        _, told = self.ask("GET")
        return "" if told["busy"] else str(told["said"])


@contextlib.contextmanager
def controlled(inside: Inside) -> Iterator[str]:
    """The page of a lab that it may break; yields its address."""
    argv = [str(HALAB), "watch", inside.lab, "--web", "--control", "-o", "json"]
    process = subprocess.Popen(
        argv, env=inside.cli.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield str(json.loads(process.stdout.readline())["address"])
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_a_page_with_a_control_breaks_a_node_shows_it_and_heals_it(inside: Inside) -> None:
    with controlled(inside) as address:
        page = Page(address)
        inside.eventually("the page shows a state", lambda: "event: state" in page.heard)
        assert page.ask("POST", {"fault": "hang", "target": "w3"})[0] == 202
        inside.eventually("the order is carried out", lambda: page.done != "")
        assert page.done.startswith("hang at w3: ")
        assert inside.status()["faults"] == ["hang at w3"]
        inside.eventually("the page tells the fault", lambda: "fault hang on w3" in page.heard)
        assert page.ask("POST", {"heal": True})[0] == 202
        inside.eventually("it is healed", lambda: page.done == "healed hang at w3")
        assert inside.status()["faults"] == []
        assert page.ask("POST", {"fault": "hang", "target": "nobody"})[0] == 202
        inside.eventually("nonsense is told", lambda: page.done.startswith("hang at nobody: "))


SEQUENCE = (
    "fault crash on {holder}",
    "Corosync lost a token",
    "fenced: {holder}",
    "answers for the VIP",
    "API by VIP: answers again after",
)
"""What the tape must tell of the crash of a holder; lines of two clocks may change places."""
HEALED_MS = 300_000
"""A master boots, and joins etcd and Pacemaker again."""


def test_a_crash_from_the_page_in_a_browser_shows_its_sequence_and_is_healed(
    inside: Inside,
) -> None:
    (holder,) = inside.status()["vip_holders"]
    with chromium.started() as browser, controlled(inside) as address:
        visitor = Visitor(browser.new_context(viewport={"width": 1280, "height": 900}))
        page = visitor.page
        page.goto(address)
        expect(page.locator("#health")).to_contain_text("HEALTHY")
        page.select_option("#fault", "crash")
        page.select_option("#target", "@vip-holder")
        page.focus("#inject")
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_contain_text(f"crash at {holder}: ")
        for words in SEQUENCE:
            expect(page.locator("#tape")).to_contain_text(words.format(holder=holder))
        expect(page.locator(f"#picture [data-name={holder}]")).to_have_class("bad")
        page.focus("#heal")
        page.keyboard.press("Enter")
        healed = f"healed crash at {holder}"
        expect(page.locator("#said")).to_have_text(healed, timeout=HEALED_MS)
        expect(page.locator("#health")).to_contain_text("HEALTHY", timeout=HEALED_MS)
        assert visitor.layout() == []
        assert visitor.errors == []
        assert [url for url in visitor.asked if "//127.0.0.1:" not in url] == []
