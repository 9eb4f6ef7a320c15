"""The API's client without an API: what is asked again, and what is not."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
import urllib3.exceptions

from lab.base.errors import ApplyError, LabError, WaitTimeout
from lab.kube import api
from lab.kube.api import ApiError, KubeApi
from lab.kube.objects import cause, node_ready, waves


def cluster(failures: int) -> tuple[KubeApi, list[str]]:
    """Return a client whose first connections are closed without an answer, and what is sent."""
    sent: list[str] = []

    def request(method: str, *_: Any, **__: Any) -> Any:
        sent.append(method)
        if len(sent) <= failures:
            raise urllib3.exceptions.ProtocolError("Connection aborted.")
        return SimpleNamespace(status=200, data=b'{"kind": "Status"}')

    client: Any = object.__new__(KubeApi)
    client.server = "https://127.0.0.1:1"
    client._pool = SimpleNamespace(request=request)
    return client, sent


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_kept_connection_that_was_closed_is_no_answer_yet(method: str) -> None:
    client, sent = cluster(1)
    assert client.request(method, "/api") == {"kind": "Status"}
    assert sent == [method, method]


@pytest.mark.parametrize(("method", "failures", "times"), [("POST", 1, 1), ("GET", 2, 2)])
def test_what_may_not_be_done_twice_is_sent_once_and_nothing_for_ever(
    method: str, failures: int, times: int
) -> None:
    client, sent = cluster(failures)
    with pytest.raises(LabError, match="does not answer"):
        client.request(method, "/api")
    assert sent == [method] * times


class Booting(BaseHTTPRequestHandler):
    """Of the first connection, a server that boots; of any other, one that serves."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        type(self).connections += 1
        self.number = self.connections
        super().setup()

    def do_GET(self) -> None:
        body = b"booting" if self.number == 1 else b"ok"
        self.send_response(500 if self.number == 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_server_that_boots_is_not_asked_twice_by_one_connection() -> None:
    """The load balancer chooses a master for each connection; another one may serve."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Booting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client: Any = object.__new__(KubeApi)
        client.server = f"http://127.0.0.1:{server.server_port}"
        client._pool = urllib3.PoolManager(retries=False)
        assert [client.readyz(), client.readyz()] == [False, True]
        client._pool.clear()
        server.shutdown()


RUNTIME = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"


@pytest.mark.parametrize(
    ("message", "short"),
    [
        (f"[{RUNTIME} message:Network plugin returns error]", "waits for the pod network"),
        ("[container runtime is down, PLEG is not healthy: x]", "its container runtime is down"),
        ("Kubelet stopped posting node status.", "its kubelet has stopped reporting"),
        ("what nobody knows", "what nobody knows"),
    ],
)
def test_why_a_node_is_not_ready_is_told_in_short(message: str, short: str) -> None:
    item = {"status": {"conditions": [{"type": "Ready", "status": "False", "message": message}]}}
    assert node_ready(item) == (False, short)


def test_an_unknown_cause_is_not_cut_within_a_word() -> None:
    short = cause("unknown " * 40)
    assert len(short) <= 120
    assert set(short.split()) == {"unknown", "…"}


def test_requests_are_logged_without_their_bodies(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = cluster(0)
    with caplog.at_level("DEBUG", "halab.kube"):
        client.request("PATCH", "/api/v1/secrets", {"data": "hidden"})
    assert "PATCH /api/v1/secrets: 200" in caplog.text
    assert "hidden" not in caplog.text


def item(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def test_objects_are_applied_in_the_order_in_which_they_need_each_other() -> None:
    kinds = ("Deployment", "ConfigMap", "Namespace", "ServiceAccount")
    rows = [[row["kind"] for row in wave] for wave in waves(item(kind, "x") for kind in kinds)]
    assert rows == [["Namespace"], ["ConfigMap", "ServiceAccount"], ["Deployment"]]
    client, sent = cluster(0)
    client.apply([item(kind, "x") for kind in kinds])
    assert sent == ["PATCH"] * len(kinds)


def test_errors_of_objects_that_were_applied_side_by_side_are_all_told() -> None:
    client, sent = cluster(99)
    with pytest.raises(ApplyError, match="does not answer"):
        client.apply([item("ConfigMap", "x"), item("Secret", "x"), item("Deployment", "x")])
    assert len(sent) == 4  # each of two twice: what needs them is not applied


def answering(*answers: tuple[int, bytes]) -> tuple[KubeApi, list[str]]:
    """Return a client that is given these answers, one after another, and what is sent."""
    client, sent = cluster(0)
    given = iter(answers)

    def request(method: str, *_: Any, **__: Any) -> Any:
        sent.append(method)
        status, data = next(given)
        return SimpleNamespace(status=status, data=data)

    client._pool = SimpleNamespace(request=request)  # type: ignore[assignment]
    return client, sent


def test_an_object_is_applied_again_where_the_balancer_led_to_a_server_that_boots() -> None:
    """As K3s answers before it has an API server."""
    booting = (503, b"apiserver not ready\n")
    client, sent = answering(booting, booting, (200, b"{}"))
    client.apply([item("ConfigMap", "x")])
    assert sent == ["PATCH"] * 3


def test_an_object_that_is_refused_is_applied_once() -> None:
    client, sent = answering((422, b'{"message": "spec is wrong"}'))
    with pytest.raises(ApiError, match="422: spec is wrong"):
        client.apply([item("ConfigMap", "x")])
    assert sent == ["PATCH"]


def test_a_server_that_boots_for_ever_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "UNAVAILABLE_TIMEOUT_S", 0)
    client, _ = answering((503, b"apiserver not ready\n"))
    with pytest.raises(WaitTimeout, match="apiserver not ready"):
        client.apply([item("ConfigMap", "x")])


def test_an_api_error_keeps_its_status() -> None:
    assert ApiError(404, "gone").status == 404
