"""Every error that halab raises on purpose: what happened, where, and what to do about it.

Like pre-commit, halab has an exit code for each kind of ending:
0 ok, 1 it failed, 2 bad input, 3 a bug, 4 verdict fail, 5 verdict unknown, 130 interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass


class LabError(Exception):
    """The base of all expected errors. A command that ends by one exits with its `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        """Keep the message (what happened, and where) and the hint (what to do next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own."""
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file."""

    line: int
    """1-based; 0: the file as a whole."""
    message: str
    hint: str = ""

    def text(self, path: str) -> str:
        """Return `file:line: message (hint)`."""
        where = f"{path}:{self.line}" if self.line else path
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class InputError(LabError):
    """The user's input cannot be used. Nothing was changed."""

    exit_code = 2


class TopologyError(InputError):
    """A file (a topology, a scenario, or other YAML) has problems; all of them at once."""

    def __init__(self, path: str, problems: tuple[Problem, ...]) -> None:
        """Keep the file's name, and its problems in the order of their lines."""
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.text(path) for problem in self.problems))


class EngineError(LabError):
    """The container engine does not answer, refuses, or does not have what it was asked for."""


class SubnetTaken(EngineError):
    """A network cannot be made: another network of the engine has some of its addresses."""


class PortTaken(EngineError):
    """A container cannot be published: its port on the host is in use."""


class InUse(EngineError):
    """A volume or a network cannot be removed yet: a container uses it."""


class ImageError(LabError):
    """An image, or a component of one, could not be had; the message ends with the log's tail."""


class Unreached(ImageError):
    """A component's source cannot be reached from here. Another distribution's may be."""


class ApplyError(LabError):
    """Several steps failed; all of them are reported together."""

    def __init__(self, errors: tuple[Exception, ...], hint: str = "") -> None:
        """Keep the single errors, for callers that look into them."""
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors), hint)


class CommandFailed(LabError):
    """A command on a node ended with a code other than 0."""

    def __init__(self, node: str, argv: tuple[str, ...], code: int, output: str) -> None:
        """Keep node, argv, exit code and output; the message has the last 20 lines of output."""
        self.node, self.argv, self.code, self.output = node, argv, code, output
        tail = "\n".join(output.strip().splitlines()[-20:])
        super().__init__(
            f"on {node}: `{' '.join(argv)}` ended with {code}" + (f":\n{tail}" if tail else "")
        )


class WaitTimeout(LabError):
    """Something did not happen in time."""

    def __init__(self, what: str, seconds: float, last: str, hint: str = "") -> None:
        """Keep what was awaited, for how many seconds, and what was last seen."""
        self.what, self.seconds, self.last = what, seconds, last
        super().__init__(f"{what}: not after {seconds:.0f} s; last seen: {last or 'nothing'}", hint)


class FaultError(LabError):
    """A fault cannot act here, or shows no effect."""


class HealFailed(LabError):
    """What a fault changed could not be undone: on which node, and what is left."""


class WrongError(ValueError):
    """A value cannot be used. Its message continues a sentence that begins with the key's name.

    The caller knows file and line, and makes a Problem of it.
    """

    def __init__(self, message: str, hint: str) -> None:
        """Keep the message (`is 70000`) and the hint (what to write instead)."""
        super().__init__(message)
        self.message, self.hint = message, hint
