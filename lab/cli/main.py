"""The group of all commands, and the boundary where errors become messages and exit codes."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import signal
import sys
from typing import NamedTuple

import click

from lab import __version__
from lab.base.errors import LabError


class CommandEntry(NamedTuple):
    """A command in the list of commands."""

    module: str
    """Imported when the command is used: `halab --help` must not wait for Docker's library."""
    summary: str


COMMANDS = {
    "start": CommandEntry("lifecycle", "start a lab, or one node of it, and wait until it works"),
    "plan": CommandEntry("lifecycle", "show what `start` would do"),
    "status": CommandEntry("lifecycle", "show a lab: nodes, VIP holder, etcd leader, API address"),
    "list": CommandEntry("lifecycle", "list the labs of this Docker engine"),
    "stop": CommandEntry("lifecycle", "shut down a lab, or some of its nodes"),
    "reset": CommandEntry("reset", "bring a lab back to what it was after its start"),
    "destroy": CommandEntry("lifecycle", "remove a lab and everything that belongs to it"),
    "validate": CommandEntry("topology", "check a topology file"),
    "schema": CommandEntry("topology", "print the JSON Schema of topology files, for editors"),
    "init": CommandEntry("topology", "write a topology file to start from"),
    "completion": CommandEntry("topology", "print the completion script for bash, zsh or fish"),
    "exec": CommandEntry("access", "run a command on a node"),
    "shell": CommandEntry("access", "open a shell on a node"),
    "logs": CommandEntry("access", "show the journals of nodes"),
    "kubectl": CommandEntry("access", "run kubectl against a lab"),
    "kubeconfig": CommandEntry(
        "access", "print a lab's kubeconfig, merge it into yours, or take it out"
    ),
    "export": CommandEntry(
        "export", "write journals, objects and states to files, for a bug report"
    ),
    "verify": CommandEntry("checks", "check that a lab works, and show how to check it by hand"),
    "power": CommandEntry("access", "press a node's power button: on, off, cycle, soft, status"),
    "addon": CommandEntry("addon", "list, enable and disable what runs on a lab's cluster"),
    "fault": CommandEntry("fault", "break a lab on purpose, prove that it is broken, heal it"),
    "scenario": CommandEntry(
        "scenario", "break a lab as written, measure what its users see, judge it"
    ),
    "lesson": CommandEntry("lesson", "learn high availability step by step, on a lab of your own"),
    "report": CommandEntry("report", "show the report of a run, judge it again, compare two runs"),
    "watch": CommandEntry("watch", "show a lab while it fails, or play a run again"),
    "snapshot": CommandEntry(
        "snapshot", "save a whole lab, to start others from; list and remove what was saved"
    ),
    "image": CommandEntry("image", "load your own images into nodes, for pods"),
    "images": CommandEntry("images", "build, list, save, load and remove the images of nodes"),
    "versions": CommandEntry(
        "versions", "list the versions of Kubernetes that can be had, and from where"
    ),
    "doctor": CommandEntry("checks", "check whether this machine can run a lab, and how to fix it"),
}
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


class Lazy(click.Group):
    """A group that imports the module of a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command, and return the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lab.cli.{COMMANDS[cmd_name].module}")
        command = getattr(module, f"{cmd_name}_command")
        if not isinstance(command, click.Command):
            return None
        from lab.cli import verbosity

        verbosity.add_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the command that was probably meant."""
        if args and args[0] not in COMMANDS:
            from lab.base import suggest

            close = suggest.closest(args[0], COMMANDS)
            remedy = f"Did you mean `{close}`?" if close else "`halab --help` lists them."
            ctx.fail(f"no command `{args[0]}`. {remedy}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing their modules."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: halab start 3m3w",
)
@click.version_option(__version__, prog_name="halab")
def cli() -> None:
    """A high-availability Kubernetes lab in containers: start it, break it, measure it."""


def main() -> None:
    """Run the command line.

    An expected error becomes one message and its exit code; a bug leaves its trace in a file.
    """
    from lab.cli import verbosity

    verbosity.add_options(cli)
    # Python's last act is to search all that it has loaded for garbage: a sixth of a short command.
    # What ends anyway needs no search.
    atexit.register(gc.freeze)
    # CI ends a job by SIGTERM: as after ^C, what was begun is taken back, faults are healed, and
    # programs that were started (`go install` among them) end.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LabError as error:
        click.echo(f"halab: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("halab: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:  # `halab logs | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 (the boundary: a bug becomes a file and one line)
        _bug(error)
        sys.exit(EXIT_BUG)
    sys.exit(code if isinstance(code, int) else 0)


def _bug(error: Exception) -> None:
    import tempfile
    import traceback
    from pathlib import Path

    handle, path = tempfile.mkstemp(prefix="halab-bug-", suffix=".txt")
    with os.fdopen(handle, "w") as file:
        file.write(f"halab {__version__}, Python {sys.version}\n{sys.argv}\n\n")
        traceback.print_exception(error, file=file)
    click.echo(
        f"halab: a bug: {type(error).__name__}: {error}\n"
        f"  → please report it with {Path(path)} and what `halab export LAB DIR` writes",
        err=True,
    )
