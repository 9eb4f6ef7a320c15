"""Shell that faults run on nodes: scripts with names, and with positional arguments.

Arguments need no quoting: no value ever becomes part of a script's text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed

if TYPE_CHECKING:
    from lab.engine.commands import Result
    from lab.engine.node import NodeHandle


@dataclass(frozen=True, slots=True)
class Script:
    """A shell script under a name. The shell puts the name before its own errors."""

    name: str
    text: str

    def argv(self, *arguments: str) -> list[str]:
        """Return the command that runs it with these arguments."""
        return ["sh", "-c", self.text, self.name, *arguments]

    def run(
        self,
        node: NodeHandle,
        *arguments: str,
        timeout_s: float = 30,
        check: bool = True,
        stdin: bytes | None = None,
    ) -> Result:
        """Run it on a node.

        Raises CommandFailed if `check` is set and it fails; that shows its name, not its text.
        """
        argv = self.argv(*arguments)
        result = node.run(argv, timeout_s=timeout_s, check=False, stdin=stdin)
        if check and result.code != 0:
            raise CommandFailed(node.name, (self.name, *arguments), result.code, result.output)
        return result
