"""The cluster's API: the only door to the kubernetes package.

halab always uses the load balancer's port on the host. Its own requests are plain HTTP by urllib3,
as are the kubernetes package's. That one is imported only for those who ask for its client: with
pydantic and OAuth, which no lab needs, its import takes longer than most questions.
"""

from __future__ import annotations

import contextlib
import json
import logging
import ssl
import tempfile
import time
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3
import urllib3.exceptions

from lab.base.errors import LabError
from lab.base.parallel import run_all
from lab.base.wait import Observation, until
from lab.kube.objects import path, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lab.kube.secrets import Pair

LOG = logging.getLogger("halab.kube")
FIELD_MANAGER = "halab"
WRITE_TIMEOUT_S = 15.0
"""For one change, which etcd must write to a disk that all nodes share."""
TIMEOUT_S = 5.0
"""For one answer: the API answers in milliseconds, or is in trouble."""
CRD_TIMEOUT_S = 30
"""For a kind whose definition was just applied: it takes 1 to 10 s until the API serves it or its
webhook answers."""
UNAVAILABLE_TIMEOUT_S = 60
"""For a server that answers 503: K3s does, while it boots (pkg/server/handlers, APIServer), and the
load balancer leads to such a master until it has looked twice, in two to four seconds."""
CLOSE = {"Connection": "close"}
"""A header: the server closes the connection after its answer (RFC 9112, 9.6)."""
CONNECTIONS = 32
"""That are kept: more than are asked side by side."""
NOT_FOUND = 404
CONFLICT = 409
UNPROCESSABLE = 422
UNAVAILABLE = 503
BAD_REQUEST = 400


def _ms(begin: float) -> float:
    return (time.monotonic() - begin) * 1000


@contextlib.contextmanager
def _key_files(pair: Pair) -> Iterator[tuple[str, str]]:
    """Yield the paths of a certificate and its key, in private files that are gone afterwards.

    Python's TLS takes them from files only.
    """
    with tempfile.TemporaryDirectory(prefix="halab-") as folder:
        paths = []
        for name, content in (("me.crt", pair.certificate), ("me.key", pair.key)):
            file = Path(folder) / name
            file.touch(mode=0o600)
            file.write_bytes(content)
            paths.append(str(file))
        yield paths[0], paths[1]


def _trusting(authority: bytes, admin: Pair) -> ssl.SSLContext:
    """Return how connections are made: to a server whom the authority trusts, as administrator."""
    try:
        # `create_default_context(cadata=…)` trusts the system's authorities if that is empty.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority.decode("ascii"))
        with _key_files(admin) as (certificate, key):
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError and UnicodeDecodeError are such
        raise LabError(f"the administrator's credentials cannot be used: {error}") from error
    return context


class ApiError(LabError):
    """The API's answer is an error; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status and the API's own message."""
        super().__init__(message)
        self.status = status


class KubeApi:
    """A client of the API: questions and changes, as the administrator."""

    def __init__(self, server: str, authority: bytes, admin: Pair) -> None:
        """Use the API at `server` (https://127.0.0.1:PORT). Nothing is sent yet.

        `authority` (PEM) signs the server's certificate. Raises LabError for what is no PEM.
        """
        self.server = server
        self._authority, self._admin = authority, admin
        self._open = contextlib.ExitStack()
        # No proxy: the API is on this host's loopback.
        self._pool = urllib3.PoolManager(
            ssl_context=_trusting(authority, admin), maxsize=CONNECTIONS, retries=False
        )

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 (no types are published for the package)
        """The kubernetes package's ApiClient, ready to use; it ends with `close`."""
        import kubernetes.client

        configuration = kubernetes.client.Configuration()
        configuration.host = self.server
        configuration.retries = False
        configuration.ca_cert_data = self._authority.decode()
        # The library wants files, whenever it connects.
        certificate, key = self._open.enter_context(_key_files(self._admin))
        configuration.cert_file, configuration.key_file = certificate, key
        client = kubernetes.client.ApiClient(configuration)
        self._open.callback(client.rest_client.pool_manager.clear)
        return client

    def close(self) -> None:
        """Close connections and forget the credentials."""
        self._pool.clear()
        self._open.close()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 (any JSON value)
        *,
        kind: str = "application/json",
        accept: str = "application/json, */*",
        timeout_s: float = TIMEOUT_S,
        once: bool = False,
    ) -> Any:  # noqa: ANN401 (any JSON value)
        """Send one request; return the decoded JSON, or the text of an answer that is none.

        `kind` is the body's content type, `accept` the answer's. With `once` the connection is not
        kept: the load balancer chooses a master for each connection. Raises LabError if there is no
        answer, and ApiError, with the API's own message, if the answer is an error.
        """
        headers = {"Accept": accept, "Content-Type": kind, **(CLOSE if once else {})}
        send = partial(
            self._pool.request,
            method,
            self.server + path,
            body=json.dumps(body) if body is not None else None,
            headers=headers,
            timeout=timeout_s,
            retries=False,
        )
        begin = time.monotonic()
        try:
            answer = self._answer(method, send)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            LOG.debug("%s %s: no answer: %.0f ms", method, path, _ms(begin))
            raise LabError(
                f"the API at {self.server} does not answer: {type(error).__name__}: {error}"
            ) from error
        LOG.debug("%s %s: %s: %.0f ms", method, path, answer.status, _ms(begin))
        data = answer.data.decode(errors="replace")
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        if answer.status >= BAD_REQUEST:
            message = data.get("message", data) if isinstance(data, dict) else data
            raise ApiError(answer.status, f"{method} {path}: {answer.status}: {str(message)[:500]}")
        return data

    def _answer(self, method: str, send: Callable[[], Any]) -> Any:  # noqa: ANN401 (urllib3's)
        """Send a request, and once more if a kept connection was closed meanwhile.

        Its master has died, or is too busy. Anything but POST may be sent twice.
        """
        try:
            return send()
        except urllib3.exceptions.ProtocolError:
            if method == "POST":
                raise
            return send()

    def readyz(self) -> bool:
        """Whether the API server that is reached says that it can serve.

        By a connection of its own: a kept one would ask a server that boots until it has booted,
        while others serve already.
        """
        try:
            return str(self.request("GET", "/readyz", timeout_s=2, once=True)) == "ok"
        except LabError:
            return False

    def release(self) -> str:
        """Return the API server's own version: `v1.36.3`, or `v1.34.6+k3s1` with K3s."""
        return str(self.request("GET", "/version")["gitVersion"])

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        """Apply objects on the server's side: make those that are missing, change what differs.

        What does not need each other is applied side by side. In conflicts halab's values win. A
        server that is not available yet is asked again. Raises LabError as `request` does,
        WaitTimeout if it stays so; ApplyError with all errors, if there are several.
        """
        for wave in waves(objects):
            run_all([partial(self._apply, item) for item in wave])

    def _apply(self, item: dict[str, Any]) -> None:
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        send = partial(
            self.request,
            "PATCH",
            path(item) + query,
            item,
            kind="application/apply-patch+yaml",
            timeout_s=WRITE_TIMEOUT_S,
        )

        def attempt() -> Observation:
            try:
                send()
            except ApiError as error:
                if error.status != UNAVAILABLE:
                    raise
                return Observation(ok=False, detail=error.message)
            return Observation(ok=True, detail="applied")

        what = f"{item['kind']} {item['metadata']['name']} is applied"
        until(what, attempt, timeout_s=UNAVAILABLE_TIMEOUT_S)

    def apply_patiently(self, item: dict[str, Any]) -> None:
        """Apply an object whose kind the API may not know yet, or whose webhook may not be up.

        It tries again for CRD_TIMEOUT_S. Raises WaitTimeout after that, and ApiError for any other
        error.
        """

        def attempt() -> Observation:
            try:
                self.apply([item])
            except ApiError as error:
                if error.status != NOT_FOUND and "webhook" not in error.message:
                    raise
                return Observation(ok=False, detail=error.message)
            return Observation(ok=True, detail="applied")

        what = f"{item['kind']} {item['metadata']['name']} is applied"
        until(what, attempt, timeout_s=CRD_TIMEOUT_S)

    def find(self, path: str) -> dict[str, Any] | None:
        """Return the object at a path; None if there is none, or its kind is unknown."""
        try:
            return dict(self.request("GET", path))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def delete(self, path: str) -> bool:
        """Delete an object, and then its dependents; return False if there is no such object."""
        try:
            self.request(
                "DELETE", path, {"propagationPolicy": "Background"}, timeout_s=WRITE_TIMEOUT_S
            )
        except ApiError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    def get(self, path: str) -> Any:  # noqa: ANN401 (any object)
        """Return the object or list at a path. Raises ApiError if there is none."""
        return self.request("GET", path)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return Kubernetes' Node objects by name."""
        return {item["metadata"]["name"]: item for item in self.get("/api/v1/nodes")["items"]}

    def label_node(self, name: str, labels: dict[str, str]) -> None:
        """Set labels of a node; others stay."""
        self.request(
            "PATCH",
            f"/api/v1/nodes/{name}",
            {"metadata": {"labels": labels}},
            kind="application/merge-patch+json",
        )
