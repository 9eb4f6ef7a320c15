"""What needs no engine: how an attached command's socket is closed."""

from __future__ import annotations

from dataclasses import dataclass, field

from lab.engine.running import hang_up


@dataclass
class ClosedDouble:
    """A double of docker's socket, or of the HTTP answer that it was taken out of: keeps who was closed."""

    name: str
    closed: list[str] = field(default_factory=list)
    _response: ClosedDouble | None = None

    def close(self) -> None:
        self.closed.append(self.name)


def test_the_answer_is_closed_before_its_socket() -> None:
    closed: list[str] = []
    hang_up(ClosedDouble("socket", closed, ClosedDouble("answer", closed)))
    assert closed == ["answer", "socket"]


def test_a_socket_that_keeps_no_answer_is_closed() -> None:
    closed: list[str] = []
    hang_up(ClosedDouble("socket", closed))
    assert closed == ["socket"]
