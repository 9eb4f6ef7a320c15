"""addon: what runs on a lab's cluster beside Kubernetes itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lab.addons import catalog
from lab.cli.options import (
    complete_lab,
    find_lab,
    option_output,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.addons.manager import AddonResult, AddonStatus


def complete_addon(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of add-ons."""
    return [name for name in catalog.names() if name.startswith(incomplete)]


@click.group("addon", epilog="Example: halab addon enable 3m3w metrics-server")
def addon_command() -> None:
    """List, enable and disable what runs on a lab's cluster, and show whether it works.

    A topology names the add-ons that every start brings up: `addons: […]`.
    """


@addon_command.command("list", epilog="Example: halab addon list 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def list_command(lab: str | None, output: str) -> None:
    """List all add-ons. With LAB: which of them are enabled, and whether they work."""
    from lab.addons import manager
    from lab.cli import output as out

    if lab:
        with manager.open_manager(find_lab(lab)) as addons:
            _show_statuses(addons.status(), output)
        return
    rows = [{"name": name, "summary": catalog.find(name).summary} for name in catalog.names()]
    if output == "json":
        out.answer(rows)
    else:
        out.wrapped(["ADD-ON", "WHAT IT IS"], [[row["name"], row["summary"]] for row in rows])


@addon_command.command("status", epilog="Example: halab addon status 3m3w prometheus")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("names", nargs=-1, metavar="[ADDON]...", shell_complete=complete_addon)
@option_output
def status_command(lab: str, names: tuple[str, ...], output: str) -> None:
    """Show whether add-ons work, and where their images came from."""
    from lab.addons import manager

    with manager.open_manager(find_lab(lab)) as addons:
        _show_statuses(addons.status(*names), output)


@addon_command.command(
    "enable", epilog="Example: halab addon enable 3m3w prometheus --chart ./prometheus-29.27.0.tgz"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("names", nargs=-1, required=True, metavar="ADDON...", shell_complete=complete_addon)
@click.option(
    "--chart",
    default="",
    metavar="CHART",
    help="Use this Helm chart instead: a folder, an archive, oci://…, or repository/name.",
)
@option_output
def enable_command(lab: str, names: tuple[str, ...], chart: str, output: str) -> None:
    """Enable add-ons and wait until they work. One that works already is left alone."""
    from lab.addons import manager
    from lab.cli import output as out

    options = {"chart": _chart_source(chart)} if chart else None
    for name in names:
        manager.known(name)
    with (
        out.Progress(f"enabling {', '.join(names)}") as progress,
        manager.open_manager(find_lab(lab, progress)) as addons,
    ):
        results = [addons.enable(name, options) for name in names]
    _show_results(results, output)


@addon_command.command("disable", epilog="Example: halab addon disable 3m3w prometheus")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("names", nargs=-1, required=True, metavar="ADDON...", shell_complete=complete_addon)
@option_output
def disable_command(lab: str, names: tuple[str, ...], output: str) -> None:
    """Disable add-ons: remove what they made and nothing else."""
    from lab.addons import manager
    from lab.cli import output as out

    for name in names:
        manager.known(name)
    with (
        out.Progress(f"disabling {', '.join(names)}") as progress,
        manager.open_manager(find_lab(lab, progress)) as addons,
    ):
        results = [addons.disable(name) for name in names]
    _show_results(results, output)


def _chart_source(chart: str) -> str:
    """Return the chart's source, a path in full: a later start may run in another folder."""
    from pathlib import Path

    from lab.addons import helm

    helm.check_source(chart)
    return str(Path(chart).expanduser().resolve()) if helm.is_path(chart) else chart


def _show_statuses(statuses: tuple[AddonStatus, ...], output: str) -> None:
    from lab.cli import output as out

    if output == "json":
        out.answer([asdict(status) for status in statuses])
        return
    columns = ["ADD-ON", "STATE", "NAMED IN", "SEEN", "IMAGES"]
    out.wrapped(columns, [_row(status) for status in statuses])


def _row(status: AddonStatus) -> list[str]:
    from lab.cli.output import NO_BREAK

    # An image and its origin stay on one line, however narrow the column is.
    images = [f"{image}{NO_BREAK}{origin}" for image, origin in status.images.items()]
    return [
        status.name,
        _state(status),
        "topology" if status.named else "",
        status.seen if status.enabled else status.summary,
        ", ".join(images),
    ]


def _state(status: AddonStatus) -> str:
    if not status.enabled:
        return "off"
    return "works" if status.working else "does not work"


def _show_results(results: list[AddonResult], output: str) -> None:
    from lab.cli import output as out

    if output == "json":
        out.answer([asdict(result) for result in results])
        return
    for result in results:
        what = f"after {result.seconds:.1f} s" if result.changed else "nothing was changed"
        click.echo(f"{result.name}: {result.seen} ({what})")
