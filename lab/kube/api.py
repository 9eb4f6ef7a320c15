"""The cluster's API: the only door to the kubernetes package.

Always through the load balancer's port on the host.
"""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes.client
import urllib3.exceptions
from kubernetes.client.exceptions import ApiException

from lab.base.errors import LabError
from lab.base.wait import Observation, until
from lab.kube.objects import path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.kube.pki import Pair

LOG = logging.getLogger("halab.kube")
FIELD_MANAGER = "halab"
WRITE_TIMEOUT_S = 15.0
"""For one change: etcd must have written it, on disks that all nodes share."""
TIMEOUT_S = 5.0
"""For one answer: the API answers in milliseconds or is in trouble."""
CRD_TIMEOUT_S = 30
"""Until the API serves a kind that a definition just brought, or its webhook answers: 1 to 10 s."""
NOT_FOUND = 404


def _ms(begin: float) -> float:
    return (time.monotonic() - begin) * 1000


class ApiError(LabError):
    """The API answered with an error; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the status and the API's own words."""
        super().__init__(message)
        self.status = status


class Cluster:
    """Questions and orders to the API server."""

    def __init__(self, server: str, authority: bytes, admin: Pair) -> None:
        """Speak to `server` (https://127.0.0.1:PORT) as the administrator. Nothing is sent yet."""
        configuration = kubernetes.client.Configuration()
        self.server = configuration.host = server
        configuration.retries = False
        with contextlib.ExitStack() as stack:
            # The library wants files; they are private to this process and gone when it ends.
            self._folder = tempfile.TemporaryDirectory(prefix="halab-")
            stack.callback(self._folder.cleanup)
            configuration.ssl_ca_cert = self._file("ca.crt", authority)
            configuration.cert_file = self._file("me.crt", admin.certificate)
            configuration.key_file = self._file("me.key", admin.key)
            stack.pop_all()
        self._client = kubernetes.client.ApiClient(configuration)

    def _file(self, name: str, content: bytes) -> str:
        path = Path(self._folder.name) / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return str(path)

    def close(self) -> None:
        """Close connections and forget the credentials."""
        self._client.rest_client.pool_manager.clear()
        self._folder.cleanup()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 (any JSON value)
        *,
        kind: str = "application/json",
        timeout_s: float = TIMEOUT_S,
    ) -> Any:  # noqa: ANN401 (any JSON value)
        """Send one request; gives the decoded JSON, or the text where the answer is none.

        Raises LabError with the API's own words.
        """
        headers = {"Accept": "application/json, */*", "Content-Type": kind}
        url = self.server + path
        text = json.dumps(body) if body is not None else None
        send = partial(
            self._client.rest_client.pool_manager.request,
            method,
            url,
            body=text,
            headers=headers,
            timeout=timeout_s,
            retries=False,
        )
        begin = time.monotonic()
        try:
            try:
                answer = send()
            except urllib3.exceptions.ProtocolError:
                # A connection that was kept may have been closed meanwhile: its master died, or is
                # too busy. All but POST may be sent twice.
                if method == "POST":
                    raise
                answer = send()
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            LOG.debug("%s %s: no answer: %.0f ms", method, path, _ms(begin))
            raise LabError(
                f"the API at {self.server} does not answer: {type(error).__name__}: {error}"
            ) from error
        LOG.debug("%s %s: %s: %.0f ms", method, path, answer.status, _ms(begin))
        data = answer.data.decode(errors="replace")
        with contextlib.suppress(ValueError):
            data = json.loads(data)
        if answer.status >= 400:  # noqa: PLR2004 (HTTP)
            message = data.get("message", data) if isinstance(data, dict) else data
            raise ApiError(answer.status, f"{method} {path}: {answer.status}: {str(message)[:500]}")
        return data

    def readyz(self) -> bool:
        """Whether an API server says that it can serve."""
        try:
            return str(self.request("GET", "/readyz", timeout_s=2)) == "ok"
        except LabError:
            return False

    def release(self) -> str:
        """Return the version that the API server says that it is: `v1.36.3`, K3s's `v1.34.6+k3s1`."""
        return str(self.request("GET", "/version")["gitVersion"])

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        """Apply objects on the server's side: made when missing, changed where they differ, ours win."""
        for item in objects:
            query = f"?fieldManager={FIELD_MANAGER}&force=true"
            self.request(
                "PATCH",
                path(item) + query,
                item,
                kind="application/apply-patch+yaml",
                timeout_s=WRITE_TIMEOUT_S,
            )

    def apply_patiently(self, item: dict[str, Any]) -> None:
        """Apply one object; where the API does not know its kind yet or a webhook of its kind is not up, ask again. Raises WaitTimeout."""

        def tried() -> Observation:
            try:
                self.apply([item])
            except ApiError as error:
                if error.status != NOT_FOUND and "webhook" not in error.message:
                    raise
                return Observation(ok=False, detail=error.message)
            return Observation(ok=True, detail="applied")

        until(
            f"{item['kind']} {item['metadata']['name']} is applied", tried, timeout_s=CRD_TIMEOUT_S
        )

    def find(self, path: str) -> dict[str, Any] | None:
        """Get an object, or None where there is none (or its kind is unknown)."""
        try:
            return dict(self.request("GET", path))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def delete(self, path: str) -> bool:
        """Delete an object, its dependents afterwards; False where there is none."""
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
        """Get an object or list by its path."""
        return self.request("GET", path)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return all nodes by name."""
        return {item["metadata"]["name"]: item for item in self.get("/api/v1/nodes")["items"]}

    def label_node(self, name: str, labels: dict[str, str]) -> None:
        """Set labels on a node."""
        self.request(
            "PATCH",
            f"/api/v1/nodes/{name}",
            {"metadata": {"labels": labels}},
            kind="application/merge-patch+json",
        )
