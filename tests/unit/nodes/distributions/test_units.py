"""The lines of upstream's units that wait for the API, run by bash against a small server."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from lab.base.wait import Observation, until
from lab.nodes.distributions.upstream import units

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE = 3
"""How many questions the server refuses."""


class Booting(BaseHTTPRequestHandler):
    """Says 500 and an empty object a few times, then 200 and a node."""

    protocol_version = "HTTP/1.1"
    asked = connections = 0

    def setup(self) -> None:
        """Count a connection."""
        type(self).connections += 1
        super().setup()

    def do_GET(self) -> None:
        """Answer one question."""
        type(self).asked += 1
        ready = self.asked > LATE
        body = b'{\n "podCIDR": "10.42.0.0/24"\n}\n' if ready else b"{}\n"
        self.send_response(200 if ready else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def curl_keeps_a_rate() -> bool:
    """Return whether this machine's curl knows --rate; nodes' own does."""
    if not shutil.which("curl"):
        return False
    asked = subprocess.run(["curl", "--rate", "1/s", "--version"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.fixture
def server() -> Iterator[str]:
    Booting.asked = Booting.connections = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Booting) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/readyz"
        http.shutdown()


def shell_command(line: str) -> str:
    """Return what systemd would give to bash: unquoted, with its own escapes undone."""
    quoted = re.fullmatch(r'ExecStartPre=/bin/bash -c "([^"]*)"', line)
    assert quoted
    return quoted[1].replace("%%", "%").replace("\\\\", "\\")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS's bash 3.2 has no $! for this")
@pytest.mark.skipif(not curl_keeps_a_rate(), reason="curl is missing or older than 7.84 (--rate)")
@pytest.mark.parametrize(
    ("options", "word", "connections"),
    [("-o /dev/null " + units.PRINT_CODE, "200", 1), (units.ONCE, "podCIDR", LATE + 1)],
)
def test_a_unit_waits_for_an_answer_and_leaves_nothing_behind(
    server: str, options: str, word: str, connections: int
) -> None:
    command = shell_command(units.await_answer(options, server, word))
    bash = subprocess.Popen(["bash", "-c", command], stderr=subprocess.PIPE, process_group=0)
    try:
        _, errors = bash.communicate(timeout=60)
        assert (bash.returncode, errors) == (0, b"")
        assert Booting.asked > LATE
        assert Booting.connections >= connections
        assert (Booting.connections == 1) == (connections == 1)
        until("curl has ended", partial(gone, bash.pid), timeout_s=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(bash.pid, signal.SIGKILL)


def gone(group: int) -> Observation:
    """Return whether no process of this group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return Observation(ok=True, detail="nobody is left")
    return Observation(ok=False, detail="somebody is left")
