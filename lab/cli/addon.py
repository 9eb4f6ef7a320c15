"""addon: what runs on a lab's cluster beyond itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lab.addons import catalog
from lab.cli import option_output
from lab.cli.common import complete_lab, find_lab

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.addons.manager import AddonResult, AddonStatus


def complete_addon(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete add-ons' names."""
    return [name for name in catalog.names() if name.startswith(incomplete)]


@click.group("addon", epilog="Example: halab addon enable 3m3w metrics-server")
def addon_command() -> None:
    """List, enable, disable and look at what runs on a lab's cluster. A topology names add-ons that every start brings up: `addons: […]`."""


@addon_command.command("list", epilog="Example: halab addon list 3m3w -o json")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def list_command(lab: str | None, output: str) -> None:
    """List all add-ons; with a LAB also which of them are on and work."""
    from lab.addons import manager
    from lab.cli import output as out

    if lab:
        with manager.open_manager(find_lab(lab)) as addons:
            _show(addons.status(), output)
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
    """Show whether add-ons are on, whether they work, and how their images came."""
    from lab.addons import manager

    with manager.open_manager(find_lab(lab)) as addons:
        _show(addons.status(*names), output)


@addon_command.command(
    "enable", epilog="Example: halab addon enable 3m3w prometheus --chart ./prometheus-29.27.0.tgz"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("names", nargs=-1, required=True, metavar="ADDON...", shell_complete=complete_addon)
@click.option(
    "--chart",
    default="",
    metavar="CHART",
    help="Another Helm chart than halab's: a folder, an archive, oci://…, or repository/name.",
)
@option_output
def enable_command(lab: str, names: tuple[str, ...], chart: str, output: str) -> None:
    """Enable add-ons and wait until they work. One that works already is left as it is."""
    from lab.addons import manager
    from lab.cli import output as out

    options = {"chart": _checked(chart)} if chart else None
    for name in names:
        manager.known(name)
    with (
        out.Progress(f"enabling {', '.join(names)}") as progress,
        manager.open_manager(find_lab(lab, progress)) as addons,
    ):
        outcomes = [addons.enable(name, options) for name in names]
    _told(outcomes, output)


@addon_command.command("disable", epilog="Example: halab addon disable 3m3w prometheus")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("names", nargs=-1, required=True, metavar="ADDON...", shell_complete=complete_addon)
@option_output
def disable_command(lab: str, names: tuple[str, ...], output: str) -> None:
    """Disable add-ons: remove what they made, and nothing else."""
    from lab.addons import manager
    from lab.cli import output as out

    for name in names:
        manager.known(name)
    with (
        out.Progress(f"disabling {', '.join(names)}") as progress,
        manager.open_manager(find_lab(lab, progress)) as addons,
    ):
        outcomes = [addons.disable(name) for name in names]
    _told(outcomes, output)


def _checked(chart: str) -> str:
    """Give the chart's source, a path in full: a later start may run in another folder."""
    from pathlib import Path

    from lab.addons import helm

    helm.check_source(chart)
    return str(Path(chart).expanduser().resolve()) if helm.is_path(chart) else chart


def _show(rows: tuple[AddonStatus, ...], output: str) -> None:
    from lab.cli import output as out

    if output == "json":
        out.answer([asdict(row) for row in rows])
        return
    table = []
    for row in rows:
        state = ("works" if row.working else "does not work") if row.enabled else "off"
        images = ", ".join(f"{word} {way}" for word, way in row.images.items())
        table.append(
            [
                row.name,
                state,
                "topology" if row.named else "",
                row.seen if row.enabled else row.summary,
                images,
            ]
        )
    out.wrapped(["ADD-ON", "STATE", "NAMED IN", "SEEN", "IMAGES"], table)


def _told(outcomes: list[AddonResult], output: str) -> None:
    from lab.cli import output as out

    if output == "json":
        out.answer([asdict(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        what = f"after {outcome.seconds:.1f} s" if outcome.changed else "nothing was changed"
        click.echo(f"{outcome.name}: {outcome.seen} ({what})")
