"""The command line: the only click, the one place where errors become words and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import click

from lab import __version__
from lab.base.errors import LabError

COMMANDS = {
    "start": "lifecycle", "plan": "lifecycle", "status": "lifecycle", "list": "lifecycle", "stop": "lifecycle", "destroy": "lifecycle",
    "validate": "files", "schema": "files", "init": "files", "completion": "files",
    "exec": "access", "shell": "access", "logs": "access", "kubectl": "access", "kubeconfig": "access",
    "export": "export", "verify": "verify", "power": "power", "addon": "addon", "fault": "fault",
    "scenario": "scenario", "report": "report", "images": "images",
    "versions": "versions", "doctor": "doctor",
}  # fmt: skip
"""Command → module. Modules are imported when their command is used: `halab --help` must not wait for Docker's library."""
EXIT_BUG = 3
EXIT_INTERRUPTED = 130


class Lazy(click.Group):
    """A group whose commands' modules are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the table's order."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lab.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, f"{cmd_name}_command")
        if not isinstance(command, click.Command):
            return None
        from lab.cli import verbosity

        verbosity.add_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was probably meant."""
        if args and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(
                f"no command `{args[0]}`."
                + (f" Did you mean `{close[0]}`?" if close else " `halab --help` lists them.")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing their modules."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in COMMANDS])


SUMMARIES = {
    "start": "bring a lab, or one node of it, up and wait until it works",
    "plan": "show what `start` would do",
    "status": "show a lab: nodes, VIP holder, etcd leader, API address",
    "list": "list the labs of this engine",
    "stop": "shut a lab, or one node of it, down",
    "destroy": "remove a lab and everything it left",
    "validate": "check a topology file",
    "schema": "print the JSON Schema of topology files, for editors",
    "init": "write a topology file to begin with",
    "completion": "print the completion script for bash, zsh or fish",
    "exec": "run a command on a node",
    "shell": "open a shell on a node",
    "logs": "show nodes' journals",
    "kubectl": "run kubectl against a lab",
    "kubeconfig": "print a lab's kubeconfig, merge it into yours, or take it out",
    "export": "write journals, objects and states to files, for a bug report",
    "verify": "check a lab as a person would by hand, with the commands",
    "power": "press a node's power button by IPMI: on, off, cycle, soft, status",
    "addon": "list, enable, disable and look at what runs on a lab's cluster",
    "fault": "break a lab on purpose, prove it, heal it",
    "scenario": "break a lab as written, measure what its users feel, judge it",
    "report": "show a run's report, judge it anew, compare two",
    "images": "build, list, save, load and remove the images of nodes",
    "versions": "list which Kubernetes can be had here and now, and where from",
    "doctor": "look whether this machine can run a lab, and what to do if not",
}


@click.group(
    cls=Lazy,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: halab start 3m3w",
)
@click.version_option(__version__, prog_name="halab")
def cli() -> None:
    """A high-availability Kubernetes lab in containers: start it, break it, measure it."""


def main() -> None:
    """Run the command line; every expected error becomes one message and its exit code, a bug leaves its trace in a file."""
    from lab.cli import verbosity

    verbosity.add_options(cli)
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
    except BrokenPipeError:  # `halab logs | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 (the boundary: a bug becomes a file and one line)
        _bug(error)
        sys.exit(EXIT_BUG)
    sys.exit(code if isinstance(code, int) else 0)


def _bug(error: Exception) -> None:
    handle, path = tempfile.mkstemp(prefix="halab-bug-", suffix=".txt")
    with os.fdopen(handle, "w") as file:
        file.write(f"halab {__version__}, Python {sys.version}\n{sys.argv}\n\n")
        traceback.print_exception(error, file=file)
    click.echo(
        f"halab: a bug: {type(error).__name__}: {error}\n  → please report it with {Path(path)}, and what `halab export LAB DIR` writes",
        err=True,
    )


def option_output(function: Any) -> Any:  # noqa: ANN401 (a decorator)
    """Add `-o text|json`: the answer on standard output, stable in JSON."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Form of the answer.",
    )(function)
