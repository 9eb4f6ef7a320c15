"""Asks the page of a watch as a browser does."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.watch import web

PATIENCE_S = 60.0
CRASH = '{"fault": "crash", "target": "@leader"}'


def ask(
    server: web.PageServer,
    path: str = "/events",
    method: str = "GET",
    body: bytes = b"",
    **headers: str,
) -> http.client.HTTPResponse:
    """Ask as the page does, unless headers say otherwise; `-` leaves one out."""
    usual = {
        "Authorization": f"Bearer {server.token}",
        "Host": f"127.0.0.1:{server.server_port}",
    }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {**usual, **given}.items():
        if value != "-":
            connection.putheader(name, value.format(port=server.server_port))
    connection.endheaders(body or None)
    return connection.getresponse()


def heard(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Yield what a page hears: kind and value."""
    while line := answer.readline():
        assert line.startswith(b"event: ")
        data = answer.readline()
        assert data.startswith(b"data: ")
        assert answer.readline() == b"\n"
        yield line[7:].strip().decode(), json.loads(data[6:])


def order(
    server: web.PageServer, text: str, path: str = "/control", **headers: str
) -> http.client.HTTPResponse:
    own = {
        "Content_Type": "application/json",
        "Content_Length": str(len(text.encode())),
        "Origin": "http://127.0.0.1:{port}",
        **headers,
    }
    return ask(server, path, "POST", text.encode(), **own)
