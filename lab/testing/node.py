"""A machine of the lab, as tests use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.engine.node import NodeHandle

EXEC_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class LabNode:
    """A machine that a target meant when it was asked for: `@leader` may mean another one later."""

    handle: NodeHandle

    @property
    def name(self) -> str:
        """The node's name in the topology, and in Kubernetes."""
        return self.handle.name

    @property
    def role(self) -> str:
        """master, worker or loadbalancer."""
        return self.handle.role

    @property
    def ip(self) -> str:
        """Its address on the lab's network."""
        return self.handle.ip

    @property
    def running(self) -> bool:
        """Whether its machine runs, and is not frozen."""
        return self.handle.running

    def exec(
        self,
        *argv: str,
        check: bool = True,
        timeout_s: float = EXEC_TIMEOUT_S,
        stdin: bytes | None = None,
    ) -> str:
        """Run a command as root and return what it prints; a single word with spaces goes to sh.

        Raises CommandFailed where `check` is set and it ends with another code than 0.
        """
        line = len(argv) == 1 and " " in argv[0]
        command = ("sh", "-c", argv[0]) if line else argv
        return self.handle.run(command, check=check, timeout_s=timeout_s, stdin=stdin).output

    def journal(self, unit: str = "", lines: int = 100) -> str:
        """Return the last lines of its journal, of one unit if named."""
        return self.handle.journal(lines, unit)

    def __str__(self) -> str:
        """Return its name: a node can be a fault's target."""
        return self.name
