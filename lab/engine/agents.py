"""Agents: containers of ours beside the nodes. Their output is read while they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.types import EndpointConfig

from lab.engine.errors import engine_errors
from lab.engine.stream import frames, hang_up, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNTRUSTED: dict[str, Any] = {
    "cap_drop": ["ALL"],
    # For ARP: only a packet socket hears every answer. Pings and all else need nothing.
    "cap_add": ["NET_RAW"],
    "security_opt": ["no-new-privileges"],
    # Its output is read while it runs; a copy in the engine's log would only load the disk that is
    # being measured.
    "log_config": {"type": "none"},
    # The greatest weight that the kernel takes (MAX_SHARES, kernel/sched/sched.h): an instrument
    # that waits for what it measures would measure itself. It uses a fifth of a core. With twice a
    # master's weight, one question in a hundred was 10 ms late; with this, 5 ms.
    "cpu_shares": 262144,
    "restart_policy": {"Name": "no"},
}


class AgentCalls:
    """The calls that make agents and listen to them; a part of Engine."""

    _api: Any

    def create_agent(
        self, image: str, command: Sequence[str], network: str, ip: str, labels: dict[str, str]
    ) -> str:
        """Make an agent's container on a network without starting it; return its id.

        SIGTERM ends it, and so does the end of its standard input.
        """
        host = self._api.create_host_config(**UNTRUSTED, network_mode=network)
        endpoint = self._api.create_networking_config(
            {network: EndpointConfig(self._api.api_version, ipv4_address=ip)}
        )
        with engine_errors(f"making an agent's container of {image}"):
            # `stdin_open` means StdinOnce, too: the agent's input ends when the program that is
            # attached goes away, even by a kill.
            container = self._api.create_container(
                image,
                entrypoint=list(command),
                command=[],
                labels=labels,
                host_config=host,
                networking_config=endpoint,
                stop_signal="SIGTERM",
                stdin_open=True,
            )
            return str(container["Id"])

    def converse(self, container: str) -> Conversation:
        """Attach to an agent. Call it before `start`, so that no line is missed."""
        with engine_errors(f"attaching to {container}"):
            sock = self._api.attach_socket(
                container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        return Conversation(sock)

    def follow(self, container: str, argv: Sequence[str]) -> Conversation:
        """Run a command in a running container; read what it prints while it runs.

        Its standard input ends when the conversation is closed, even by a kill: a command that
        reads it ends then. Raises EngineError if the container does not run.
        """
        with engine_errors(f"running `{' '.join(argv)[:80]}` in {container}"):
            command = self._api.exec_create(container, list(argv), stdin=True)
            return Conversation(self._api.exec_start(command["Id"], socket=True))


class Conversation:
    """An attached agent or command: the lines of its two outputs until it ends."""

    def __init__(self, sock: Any) -> None:  # noqa: ANN401 (docker's socket has several classes)
        """Keep the socket that the engine gave."""
        self._sock = sock

    def lines(self) -> Iterator[tuple[bool, list[bytes]]]:
        """Yield whole lines as they come, without their ends.

        Each time: whether they are of standard output (else of standard error), and the lines.
        """
        rest = {1: b"", 2: b""}
        for stream, chunk in frames(self._sock):
            *whole, rest[stream] = (rest[stream] + chunk).split(b"\n")
            if whole:
                yield stream == 1, whole
        for stream, left in rest.items():
            if left:
                yield stream == 1, [left]

    def say(self, line: str) -> None:
        """Write a line to its standard input. Raises OSError if it has ended."""
        plain(self._sock).sendall(line.encode() + b"\n")

    def close(self) -> None:
        """Hang up, which also ends the agent's input."""
        hang_up(self._sock)
