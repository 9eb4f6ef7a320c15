"""snapshot: whole labs saved as images of the engine; list and remove them."""

from __future__ import annotations

import time
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lab.base.errors import InputError, LabError
from lab.base.sizes import MEGABYTE
from lab.cli.options import complete_lab, find_lab, option_output
from lab.cli.verbosity import hint
from lab.engine import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.base.progress import Reporter
    from lab.live.lab import Lab
    from lab.live.snapshots import Snapshot

SUBNET = "network.subnet"
HOUR, DAY = 3600, 86400


def complete_snapshot(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of snapshots; nothing if no engine answers."""
    from lab.live import snapshots

    try:
        names = snapshots.every(client.connect())
    except LabError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def lab_of(
    name: str, lab_name: str, overrides: tuple[str, ...], reporter: Reporter
) -> tuple[Lab, Snapshot]:
    """Return the handle of a lab that is to be made from a snapshot, and the snapshot.

    If a lab of that name exists already, it is that one. Raises InputError as `find` does, for
    settings other than the subnet, and for another subnet than that of a lab that is there.
    """
    from lab.lifecycle import snapshot_restore
    from lab.live import lab, snapshots

    connected = client.connect()
    snapshot = snapshots.find(connected, name)
    subnet = _subnet(overrides)
    topology = snapshot_restore.topology(snapshot, lab_name, subnet)
    held = connected.labs()
    there = held.get(topology.name)
    if there and there.topology and there.snapshot == name:
        existing = lab.find(connected, topology.name, reporter, held)
        _refuse_another_subnet(existing, subnet)
        return existing, snapshot
    return lab.Lab(connected, topology, reporter), snapshot


def _refuse_another_subnet(existing: Lab, subnet: IPv4Network | None) -> None:
    own = existing.topology.network.subnet
    if subnet not in {None, own}:
        raise InputError(
            f"there is a lab {existing.name} already, with the subnet {own}; nothing was changed",
            f"`halab destroy {existing.name}` first, or give this one another name: --name OTHER",
        )


def _subnet(overrides: tuple[str, ...]) -> IPv4Network | None:
    subnet = None
    for override in overrides:
        key, _, value = override.partition("=")
        if key != SUBNET:
            raise InputError(
                f"with --from, `{key}` cannot be set: the snapshot has it as it was saved",
                f"only {SUBNET} can; start a new lab from a topology for anything else",
            )
        try:
            subnet = IPv4Network(value)
        except ValueError as error:
            raise InputError(f"{SUBNET}: {error}", "for example 172.30.7.0/24") from None
    return subnet


@click.group("snapshot", epilog="Example: halab snapshot save 3m3w before-upgrade")
def snapshot_command() -> None:
    """Save whole labs as images of the engine: etcd, images, add-ons, volumes.

    `halab start --from NAME` makes a lab of one.
    """


@snapshot_command.command("save", epilog="Example: halab snapshot save 3m3w before-upgrade")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("name")
@option_output
def save_command(lab: str, name: str, output: str) -> None:
    """Save a lab as snapshot NAME. It is shut down meanwhile, and runs again afterwards.

    The lab must be whole. The snapshot's images contain the lab's secrets.
    """
    from lab.cli import output as out
    from lab.lifecycle.snapshot_save import save
    from lab.live import snapshots

    with out.Progress(f"saving {lab} as {name}") as progress:
        handle = find_lab(lab, progress)
        save(handle, name)
    row = _row(snapshots.find(handle.engine, name))
    if output == "json":
        out.answer(row)
    else:
        hint(f"saved {lab} as {name} ({_megabytes(row)}); try `halab start --from {name}`")


@snapshot_command.command(
    "export", epilog="Example: halab snapshot export before-upgrade before-upgrade.tar"
)
@click.argument("name", shell_complete=complete_snapshot)
@click.argument("file", type=click.Path(path_type=Path))
@option_output
def export_command(name: str, file: Path, output: str) -> None:
    """Write a snapshot to a new FILE, for another machine: `snapshot import` reads it there.

    Keep it private: it holds the lab's keys.
    """
    from lab.cli import output as out
    from lab.live import snapshot_file

    with out.Progress(f"writing {name} to {file}") as progress:
        snapshot_file.write(client.connect(), name, file, progress)
    size = file.stat().st_size
    if output == "json":
        out.answer({"name": name, "file": str(file), "size_bytes": size})
    else:
        hint(f"wrote {name} to {file} ({size / MEGABYTE:.0f} MB)")


@snapshot_command.command("import", epilog="Example: halab snapshot import before-upgrade.tar")
@click.argument("file", type=click.Path(path_type=Path))
@option_output
def import_command(file: Path, output: str) -> None:
    """Load a snapshot from a FILE that `snapshot export` wrote.

    A lab can be started from it by the same build of halab, on the same architecture.
    """
    from lab.cli import output as out
    from lab.live import snapshot_file

    with out.Progress(f"reading {file}") as progress:
        snapshot = snapshot_file.read(client.connect(), file, progress)
    if output == "json":
        out.answer(_row(snapshot))
    else:
        hint(f"read {snapshot.name}; try `halab start --from {snapshot.name}`")


@snapshot_command.command("list", epilog="Example: halab snapshot list -o json")
@option_output
def list_command(output: str) -> None:
    """List the snapshots of this Docker engine: size, age, the lab's shape, and what is wrong."""
    from lab.cli import output as out
    from lab.live import snapshots

    rows = [_row(one) for one in snapshots.every(client.connect()).values()]
    if output == "json":
        out.answer(rows)
    elif rows:
        out.table(
            ["SNAPSHOT", "LAB", "SHAPE", "DISTRIBUTION", "HALAB", "SIZE", "AGE", "STATE"],
            [_cells(row) for row in rows],
        )
    else:
        hint("no snapshots; `halab snapshot save LAB NAME` makes one")
    for row in rows:
        if row["problem"]:
            hint(f"`halab snapshot remove {row['name']}` removes what is left of it")


def _row(snapshot: Snapshot) -> dict[str, Any]:
    record = snapshot.record
    row: dict[str, Any] = {
        "name": snapshot.name,
        "usable": not snapshot.problem,
        "problem": snapshot.problem,
        "used_by": list(snapshot.used_by),
        "images": list(snapshot.tags),
    }
    if record is None:
        return row
    topology = snapshot.topology
    return {
        **row,
        "lab": record.lab,
        "masters": len(topology.masters),
        "workers": len(topology.workers),
        "subnet": str(topology.network.subnet),
        "distribution": record.distribution,
        "image": record.image,
        "architecture": record.architecture,
        "halab": record.halab,
        "size_bytes": record.size,
        "created": record.created,
        "age_s": max(0, int(time.time()) - record.created),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    state = row["problem"] or (f"used by {', '.join(row['used_by'])}" if row["used_by"] else "")
    if "lab" not in row:
        return [row["name"], "-", "-", "-", "-", "-", "-", state]
    shape = f"{row['masters']}m{row['workers']}w"
    parts = [row["name"], row["lab"], shape, row["distribution"], row["halab"]]
    return [*parts, _megabytes(row), _age(row["age_s"]), state]


def _megabytes(row: dict[str, Any]) -> str:
    return f"{row['size_bytes'] / MEGABYTE:.0f} MB"


def _age(seconds: int) -> str:
    if seconds >= DAY:
        return f"{seconds // DAY} d"
    return f"{seconds // HOUR} h" if seconds >= HOUR else f"{seconds // 60} min"


@snapshot_command.command(
    "remove", epilog="Examples: halab snapshot remove before-upgrade · halab snapshot remove --all"
)
@click.argument("name", required=False, shell_complete=complete_snapshot)
@click.option("--all", "everything", is_flag=True, help="Remove every snapshot of this engine.")
@option_output
def remove_command(name: str | None, everything: bool, output: str) -> None:
    """Remove a snapshot, also one that is half written. One that a lab is made of stays."""
    from lab.cli import output as out
    from lab.live import snapshots

    if bool(name) == everything:
        raise InputError("name the snapshot to remove, or use --all", "`halab snapshot list`")
    connected = client.connect()
    names = list(snapshots.every(connected)) if everything else [name or ""]
    removed: dict[str, int] = {}
    kept: list[LabError] = []
    for each in names:
        try:
            removed[each] = snapshots.remove(connected, each)
        except LabError as error:
            if not everything:
                raise
            kept.append(error)
    if output == "json":
        out.answer({"removed": removed})
    for each, count in removed.items():
        hint(f"removed {each} ({count} images)")
    if kept:
        raise LabError("\n".join(error.message for error in kept), kept[0].hint)
