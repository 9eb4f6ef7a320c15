"""A node of a running lab: run a command on it, lay a file down, read its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.engine import Engine, Result
    from lab.spec import File
    from lab.topology.model import Node


def container_name(lab: str, node: str) -> str:
    """Give the container's name: Docker wants two characters or more, the seed's first node has one."""
    return f"halab-{lab}-{node}"


@dataclass(frozen=True, slots=True)
class NodeHandle:
    """A node and the engine that runs it."""

    engine: Engine
    lab: str
    node: Node

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def role(self) -> str:
        """The node's role."""
        return self.node.role.value

    @property
    def ip(self) -> str:
        """The node's own address."""
        return str(self.node.ip)

    @property
    def container(self) -> str:
        """The name of its container."""
        return container_name(self.lab, self.node.name)

    @property
    def running(self) -> bool:
        """Whether its container runs, and is not frozen."""
        try:
            state = self.engine.inspect(self.container)["State"]
        except EngineError:
            return False
        return bool(state["Running"] and not state["Paused"])

    @property
    def exists(self) -> bool:
        """Whether its container is there."""
        return self.engine.owner(self.container) is not None

    def run(self, argv: Sequence[str], *, timeout_s: float = 30, check: bool = True, stdin: bytes | Iterable[bytes] | None = None) -> Result:
        """Run a command. Raises CommandFailed where `check` is set and it ends with another code than 0 (124: out of time)."""
        result = self.engine.run(self.container, argv, stdin=stdin, timeout_s=timeout_s)
        if check and result.code != 0:
            raise CommandFailed(self.name, tuple(argv), result.code, result.output)
        return result

    def put(self, files: Iterable[File]) -> None:
        """Lay files down."""
        self.engine.put(self.container, files)

    def has(self, path: str) -> bool:
        """Tell whether the node has this path; it need not run. Raises EngineError for no node."""
        return self.engine.has(self.container, path)

    def journal(self, lines: int = 15, unit: str = "") -> str:
        """Give the last lines of the node's journal (of one unit, if named)."""
        argv = ["journalctl", "--no-pager", "-o", "short-monotonic", "-n", str(lines), *(["-u", unit] if unit else [])]
        return self.run(argv, check=False).output
