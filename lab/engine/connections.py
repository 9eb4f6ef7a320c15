"""The connections to the engine's UNIX socket: they are kept, and all questions share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.transport import UnixHTTPAdapter

if TYPE_CHECKING:
    import docker

ENGINE = "http+docker://localhost"
"""docker's URL of any engine behind a UNIX socket; the host in it means nothing."""


class KeptConnections(UnixHTTPAdapter):
    """docker's adapter, with one pool of connections instead of one for each path that is asked.

    That one makes a new connection for nearly every question, and room for all that it may have.
    """

    def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ANN401 (as docker's)
        """Return the pool, whatever is asked."""
        del url
        return super().get_connection(ENGINE, proxies)


def keep(api: docker.APIClient, connections: int) -> None:
    """Have a client keep so many connections to its engine, if that is behind a UNIX socket.

    No proxy leads to a socket, and no password is sent to it. For every question, the HTTP library
    would look through the environment and ~/.netrc for them, which takes as long as the answer.
    """
    adapter = api.get_adapter(ENGINE) if str(api.base_url) == ENGINE else None
    if not isinstance(adapter, UnixHTTPAdapter):
        return
    kept = KeptConnections(adapter.socket_path, adapter.timeout, max_pool_size=connections)
    api.mount("http+docker://", kept)
    adapter.close()
    api.trust_env = False
