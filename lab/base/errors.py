"""Every error halab raises on purpose: what happened, where, and what to do.

Exit codes follow pre-commit's habit of one code for each kind of ending:
0 ok, 1 it failed, 2 bad input, 3 a bug, 4 verdict fail, 5 verdict unknown, 130 interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass


class LabError(Exception):
    """The root of all expected errors. `hint` says what to do, `exit_code` how the process ends."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message (what and where) and the hint (what to do next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own."""
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a topology file: the 1-based line it stands in (0: the file as a whole), what, and what to do."""

    line: int
    message: str
    hint: str = ""

    def text(self, path: str) -> str:
        """Give `file:line: message (hint)`."""
        where = f"{path}:{self.line}" if self.line else path
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InputError(LabError):
    """The user's input cannot be used; nothing was changed."""

    exit_code = 2


class TopologyError(InputError):
    """A topology file with problems, all of them at once."""

    def __init__(self, path: str, problems: tuple[Problem, ...]) -> None:
        """Keep the file's name and its problems in the order of their lines."""
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.text(path) for problem in self.problems))


class EngineError(LabError):
    """The container engine is not there, refuses, or does not have what was asked of it."""


class SubnetTaken(EngineError):
    """Another network of the engine has addresses of the one that was to be made."""


class PortTaken(EngineError):
    """A port of the host, on which a container was to be published, is somebody else's."""


class InUse(EngineError):
    """A volume or a network cannot be removed yet: a container has it."""


class ImageError(LabError):
    """An image or a component of it could not be had; the log's tail is in the message."""


class Unreached(ImageError):
    """Where it comes from is not reached from this machine: another distribution may be."""


class ApplyError(LabError):
    """Some steps of a plan failed; all of them are told together."""

    def __init__(self, errors: tuple[Exception, ...], hint: str = "") -> None:
        """Keep the single errors, for callers that want to look into them."""
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors), hint)


class CommandFailed(LabError):
    """A command on a node ended with another code than 0."""

    def __init__(self, node: str, argv: tuple[str, ...], code: int, output: str) -> None:
        """Keep node, argv, exit code and output; the message shows the output's tail."""
        self.node, self.argv, self.code, self.output = node, argv, code, output
        tail = "\n".join(output.strip().splitlines()[-20:])
        super().__init__(
            f"on {node}: `{' '.join(argv)}` ended with {code}" + (f":\n{tail}" if tail else "")
        )


class WaitTimeout(LabError):
    """Something awaited did not come in time. Seconds are wall time spent waiting."""

    def __init__(self, what: str, seconds: float, last: str, hint: str = "") -> None:
        """Keep what was awaited, for how long, and what was last seen."""
        self.what, self.seconds, self.last = what, seconds, last
        super().__init__(f"{what}: not after {seconds:.0f} s; last seen: {last or 'nothing'}", hint)


class FaultError(LabError):
    """A fault cannot act here, or does not show that it acts."""


class HealFailed(LabError):
    """What a fault changed could not be undone; which node, and what is left."""


class WrongError(ValueError):
    """A value that cannot be used; the message goes on from the key's name."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep the message and the hint."""
        super().__init__(message)
        self.message, self.hint = message, hint
