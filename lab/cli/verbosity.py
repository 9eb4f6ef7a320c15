"""`-v` and `-q`, of the group and of every command: how much is printed on stderr."""

from __future__ import annotations

import click

VERBOSE, QUIET = "halab.verbose", "halab.quiet"


def _of_context(key: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(key))


def verbose() -> bool:
    """Whether `-v` was given."""
    return _of_context(VERBOSE)


def quiet() -> bool:
    """Whether `-q` was given."""
    return _of_context(QUIET)


def hint(text: str) -> None:
    """Print on stderr what a person may want to know; nothing with `-q`."""
    if not quiet():
        click.echo(text, err=True)


def _set_verbose(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if not given or ctx.meta.get(VERBOSE):
        return
    ctx.meta[VERBOSE] = True
    from lab.cli import log_output

    ctx.call_on_close(log_output.begin())


def _set_quiet(ctx: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        ctx.meta[QUIET] = True


def add_options(command: click.Command) -> None:
    """Add both options to a command and to all commands below it, once."""
    if not any(option.name == "verbose" for option in command.params):
        rows = (
            (
                "-v",
                "--verbose",
                _set_verbose,
                "Log what is asked of Docker, cluster and nodes.",
            ),
            ("-q", "--quiet", _set_quiet, "Show no progress and no hints."),
        )
        command.params += [
            click.Option([short, long], is_flag=True, expose_value=False, callback=call, help=text)
            for short, long, call, text in rows
        ]
    if type(command) is click.Group:
        for inner in command.commands.values():
            add_options(inner)
