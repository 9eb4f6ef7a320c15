"""Shows a watch to browsers on this machine: a page, and what happens as server-sent events.

A page may show several labs (lab_grid.py): then `?lab=NAME` says whose events are meant, or whose
control.

It only tells, unless a control is given: then a page may have faults injected and healed. Whoever
asks must know the token, which is made anew for each watch. The address has it behind a `#`, so a
browser never sends it: the page takes it from there, and sends it as a header that no other site's
page can set.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from lab.base.errors import InputError
from lab.chaos import faults, targets
from lab.watch import page
from lab.watch.broadcast import RUN, Broadcast, message
from lab.watch.delta import PlainStates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message
    from io import BufferedIOBase
    from socket import socket
    from typing import Any

    from lab.watch.fault_control import FaultControl
    from lab.watch.watching import Watching

LOG = logging.getLogger("halab.watch")
ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
TOKEN_BYTES = 24
EVENTS, CONTROL = "/events", "/control"
MAY_CONTROL = "control"
"""A message to a page: it may break and heal what it shows."""
CONTROL_BYTES = 1000
"""A page asks for a fault in fewer."""
READERS = 64
"""So many pages may listen at a time; each has a thread."""
EVERY_S = 0.25
"""Between two states."""
POLL_S = 0.1
"""Between two looks whether the server shall end."""
TIMEOUT_S = 10.0
"""A browser that sends no request, or takes no answer, for so long is left."""
HTTP_PORT = 80
"""Browsers leave it out of the header Host."""
SAME_SITE = {"same-origin", "none"}
"""Of the page itself, or of the person at the browser (Fetch Metadata, 2.3)."""

Refusal = tuple[HTTPStatus, str]
TEXT = "text/plain; charset=utf-8"


class Shown(NamedTuple):
    """What a page shows: its newest state, and what it may break and heal."""

    broadcast: Broadcast
    control: FaultControl | None = None


class PageOrder(NamedTuple):
    """What a page orders: a fault at a target, or that all faults are healed."""

    fault: str = ""
    target: str = ""
    heals_all: bool = False

    def begin(self, control: FaultControl) -> bool:
        """Begin what is ordered; return False if something is being done already."""
        return control.heal() if self.heals_all else control.inject(self.fault, self.target)


def no_lab(_: str) -> Shown | None:
    """Return what a page shows of a lab that it is asked for: it has one, which needs no name."""
    return None


def refusal(
    method: str, path: str, headers: Message, port: int, token: str, *, control: bool = False
) -> Refusal | None:
    """Return why a request is refused, or None. With `control`, a page may also order."""
    if method != "GET" and not (control and method == "POST" and path == CONTROL):
        return HTTPStatus.METHOD_NOT_ALLOWED, "a watch only tells: ask with GET"
    if headers.get_all("Host", []) not in ([host] for host in hosts(port)):
        return HTTPStatus.FORBIDDEN, f"this is {ADDRESS}:{port}, and not what the header Host says"
    if not _of_this_site(headers, port):
        return HTTPStatus.FORBIDDEN, "another site's page asks"
    if path == "/":
        return None
    if not hmac.compare_digest(_given_token(headers), token.encode()):
        return (
            HTTPStatus.UNAUTHORIZED,
            "no token, or a wrong one: open the address that `halab watch` printed",
        )
    return None


def hosts(port: int) -> list[str]:
    """Return what the header Host may say: anything else was led here by a foreign name."""
    with_port = [f"{name}:{port}" for name in NAMES]
    return [*with_port, *NAMES] if port == HTTP_PORT else with_port


def _of_this_site(headers: Message, port: int) -> bool:
    origins = {f"http://{host}" for host in hosts(port)}
    return (
        set(headers.get_all("Origin", [])) <= origins
        and set(headers.get_all("Sec-Fetch-Site", [])) <= SAME_SITE
    )


def _given_token(headers: Message) -> bytes:
    scheme, _, given = str(headers.get("Authorization", "")).partition(" ")
    return given.encode() if scheme == "Bearer" else b""


def order(headers: Message, body: BufferedIOBase) -> PageOrder | None:
    """Return what a page orders; None for what no page sends."""
    length = str(headers.get("Content-Length", ""))
    if headers.get_content_type() != "application/json" or not length.isdecimal():
        return None
    if int(length) > CONTROL_BYTES:
        return None
    try:
        fields = json.loads(body.read(int(length)))
    except ValueError:
        return None
    if fields == {"heal": True}:
        return PageOrder(heals_all=True)
    if not isinstance(fields, dict) or set(fields) != {"fault", "target"}:
        return None
    return PageOrder(str(fields["fault"]), str(fields["target"]))


class PageRequest(BaseHTTPRequestHandler):
    """One request of a browser."""

    server: PageServer
    lab: str
    """Whom it is about; "" where the page has one, or for the cards of all."""
    shown: Shown | None
    timeout = TIMEOUT_S
    disable_nagle_algorithm = True
    """What follows soon upon another message must not wait until that one is acknowledged."""

    def parse_request(self) -> bool:
        """Read the request; answer at once if it is refused."""
        if not super().parse_request():
            return False
        self.path, _, query = self.path.partition("?")
        self.lab = parse_qs(query).get("lab", [""])[0]
        self.shown = self._find_shown()
        port, token = self.server.server_port, self.server.token
        control = self.shown is not None and self.shown.control is not None
        refused = refusal(self.command, self.path, self.headers, port, token, control=control)
        if refused is None:
            return True
        status, reason = refused
        self._tell(status, TEXT, f"{reason}\n".encode())
        return False

    def _find_shown(self) -> Shown | None:
        return self.server.labs(self.lab) if self.lab else self.server.shown

    def do_GET(self) -> None:
        """Answer with the page, or with events until the end."""
        shown = self.shown
        if self.path == "/":
            self._tell(HTTPStatus.OK, "text/html; charset=utf-8", page.text().encode())
        elif shown is None:
            reason = f"no lab `{self.lab}` is watched here\n".encode()
            self._tell(HTTPStatus.NOT_FOUND, TEXT, reason)
        elif self.path == CONTROL and shown.control:
            self._tell_control(shown.control)
        elif self.path != EVENTS:
            self._tell(HTTPStatus.NOT_FOUND, TEXT, b"there is no such page\n")
        elif not self.server.places.acquire(blocking=False):
            reason = f"{READERS} pages listen already\n".encode()
            self._tell(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, reason)
        else:
            try:
                self._tell_events(shown)
            finally:
                self.server.places.release()

    def do_POST(self) -> None:
        """Inject a fault or heal, as the page says; refuse all that it would not send."""
        control = self.shown.control if self.shown else None
        page_order = order(self.headers, self.rfile)
        if control is None or page_order is None:
            self._tell(HTTPStatus.BAD_REQUEST, TEXT, b"no order of this page\n")
            return
        begun = page_order.begin(control)
        self._tell_control(control, HTTPStatus.ACCEPTED if begun else HTTPStatus.CONFLICT)

    def _tell_control(self, control: FaultControl, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Tell what may be chosen, and what is being done."""
        values = {
            "faults": faults.names(),
            "targets": [*targets.SELECTORS, *control.nodes],
            "said": control.message,
            "busy": control.busy,
        }
        body = json.dumps(values).encode()
        self._tell(status, "application/json", body)

    def _tell(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _tell_events(self, shown: Shown) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.end_headers()
        with shown.broadcast.reading():
            version, data = shown.broadcast.after(0)
            # Only now: a lab that was not there yet had no control.
            now = self._find_shown()
            if now and now.control:
                self.wfile.write(message(MAY_CONTROL, {}))
            while version:
                self.wfile.write(data)
                version, data = shown.broadcast.after(version)
            self.wfile.write(data)

    def version_string(self) -> str:
        """Return what the header Server says: no versions."""
        return "halab"

    def end_headers(self) -> None:
        """Add what every answer has, also an error's."""
        self.send_header("Content-Security-Policy", page.policy("'self'") + page.NEVER_FRAMED)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Log for `-v`, instead of on the terminal."""
        LOG.debug(format, *args)


class PageServer(ThreadingHTTPServer):
    """Answers browsers on this machine, each in a thread of its own."""

    daemon_threads = True

    def __init__(
        self,
        broadcast: Broadcast,
        port: int = 0,
        control: FaultControl | None = None,
        labs: Callable[[str], Shown | None] = no_lab,
    ) -> None:
        """Take a port of 127.0.0.1, 0 for any; nobody is answered yet. Raises InputError."""
        self.shown = Shown(broadcast, control)
        self.labs = labs
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.places = threading.BoundedSemaphore(READERS)
        try:
            super().__init__((ADDRESS, port), PageRequest)
        except OSError as error:
            what = f"port {port} of {ADDRESS} cannot be had: {error.strerror}"
            raise InputError(what, "name another with --port, or leave it out") from None

    @property
    def address(self) -> str:
        """The page's address, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/#token={self.token}"

    def server_bind(self) -> None:
        """Take the port; the base class would also ask DNS for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Note what went wrong with one browser: that it went away is no error."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, OSError):
            LOG.error("a request to the page of the watch failed", exc_info=error)


@contextlib.contextmanager
def serving(
    broadcast: Broadcast,
    port: int = 0,
    control: FaultControl | None = None,
    labs: Callable[[str], Shown | None] = no_lab,
) -> Iterator[PageServer]:
    """Answer browsers while the block runs. With a control, they may break and heal the lab.

    `labs` returns what is shown of a lab by its name, where the page has several.
    """
    with PageServer(broadcast, port, control, labs) as server:
        thread = threading.Thread(
            target=server.serve_forever, args=(POLL_S,), name="halab-watch-page", daemon=True
        )
        thread.start()
        try:
            yield server
        finally:
            broadcast.close()
            server.shutdown()
            thread.join()


def tell(watching: Watching, broadcast: Broadcast) -> None:
    """Tell pages what a watch knows, until it ends."""
    values = PlainStates()
    for state in watching.states(page.PageSize, EVERY_S):
        broadcast.publish(values.of(state))


def run_broadcast(run: dict[str, Any]) -> Broadcast:
    """Return the broadcast of a run that is over; pages play it by themselves."""
    broadcast = Broadcast(RUN)
    broadcast.publish(run)
    broadcast.close()
    return broadcast
