"""Agents: containers of ours beside the nodes whose output is read while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.types import EndpointConfig

from lab.engine.errors import engine_errors
from lab.engine.stream import frames, hang_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNTRUSTED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    # ARP: only a packet socket hears every answer. Pings and all else need nothing.
    "cap_add": ["NET_RAW"],
    "security_opt": ["no-new-privileges"],
    # What it prints is read while it runs; a copy in the engine's log would only load the disk that
    # is measured.
    "log_config": {"type": "none"},
    # The greatest weight that the kernel takes (MAX_SHARES, kernel/sched/sched.h): an instrument
    # that waits for what it measures would measure itself. It takes a fifth of a core. Twice a
    # master's weight was less: questions were 10 ms late once in a hundred times, and are 5 ms.
    "cpu_shares": 262144,
    "restart_policy": {"Name": "no"},
}


class AgentCalls:
    """What makes agents and listens to them; a part of Engine."""

    _api: Any

    def create_agent(
        self, image: str, command: Sequence[str], network: str, ip: str, labels: dict[str, str]
    ) -> str:
        """Make an agent's container on a network, not started; gives its id.

        SIGTERM ends it, and so does the end of its standard input.
        """
        host = self._api.create_host_config(**UNTRUSTED, network_mode=network)
        endpoint = self._api.create_networking_config(
            {network: EndpointConfig(self._api.api_version, ipv4_address=ip)}
        )
        with engine_errors(f"making an agent's container of {image}"):
            # `stdin_open` means StdinOnce, too: when the one who is attached goes away, even by a
            # kill, the agent's input ends.
            made = self._api.create_container(
                image, entrypoint=list(command), command=[], labels=labels, host_config=host, networking_config=endpoint,
                stop_signal="SIGTERM", stdin_open=True,
            )  # fmt: skip
            return str(made["Id"])

    def converse(self, container: str) -> Conversation:
        """Attach to an agent, before it is started, so that not a line is missed."""
        with engine_errors(f"attaching to {container}"):
            sock = self._api.attach_socket(
                container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        return Conversation(sock)


class Conversation:
    """An attached agent: lines of its two outputs until it ends."""

    def __init__(self, sock: Any) -> None:  # noqa: ANN401 (docker's socket has several classes)
        """Keep the socket that the engine gave."""
        self._sock = sock

    def lines(self) -> Iterator[tuple[bool, list[bytes]]]:
        """Yield what comes, whole lines together: whether they are output (else complaints), and the lines."""
        rest = {1: b"", 2: b""}
        for stream, chunk in frames(self._sock):
            *whole, rest[stream] = (rest[stream] + chunk).split(b"\n")
            if whole:
                yield stream == 1, whole
        for stream, left in rest.items():
            if left:
                yield stream == 1, [left]

    def close(self) -> None:
        """Hang up."""
        hang_up(self._sock)
