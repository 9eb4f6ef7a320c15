"""The handle of a lab's node: run a command on it, lay files down, read its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed, EngineError
from lab.engine.labels import container_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lab.engine.client import Engine
    from lab.engine.commands import Result
    from lab.engine.files import File


@dataclass(frozen=True, slots=True)
class NodeHandle:
    """A node and the engine that runs it."""

    engine: Engine
    lab: str
    name: str
    role: str
    ip: str
    """The node's own address; "" if it has none on the lab's network."""

    @property
    def container(self) -> str:
        """The name of its container."""
        return container_name(self.lab, self.name)

    @property
    def running(self) -> bool:
        """Whether its container runs and is not frozen; False if there is none."""
        try:
            state = self.engine.inspect(self.container)["State"]
        except EngineError:
            return False
        return bool(state["Running"] and not state["Paused"])

    @property
    def exists(self) -> bool:
        """Whether its container is there."""
        return self.engine.owner(self.container) is not None

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 30,
        check: bool = True,
        stdin: bytes | Iterable[bytes] | None = None,
        heard: Callable[[bytes], None] | None = None,
    ) -> Result:
        """Run a command, as Engine.run does.

        Raises CommandFailed if `check` is set and the exit code is not 0 (124: out of time), and
        EngineError if the node does not run.
        """
        result = self.engine.run(
            self.container, argv, stdin=stdin, timeout_s=timeout_s, heard=heard
        )
        if check and result.code != 0:
            raise CommandFailed(self.name, tuple(argv), result.code, result.output)
        return result

    def put(self, files: Iterable[File]) -> None:
        """Lay files down on the node, which need not run."""
        self.engine.put(self.container, files)

    def has(self, path: str) -> bool:
        """Whether the node, which need not run, has this path. Raises EngineError for no node."""
        return self.engine.has(self.container, path)

    def journal(self, lines: int = 15, unit: str = "") -> str:
        """Return the last lines of the node's journal, or of one unit's."""
        argv = ["journalctl", "--no-pager", "-o", "short-monotonic", "-n", str(lines)]
        if unit:
            argv += ["-u", unit]
        return self.run(argv, check=False).output
