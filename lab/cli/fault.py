"""fault: break a lab on purpose, and heal it."""

from __future__ import annotations

import random
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from lab.base import durations
from lab.base.errors import InputError
from lab.cli.options import (
    complete_lab,
    find_lab,
    option_output,
)
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.chaos.fault import Fault
    from lab.chaos.injector import Effect
    from lab.chaos.lab_faults import LabFaults

    Missing = dict[str, str]
    """Fault → what a lab lacks for it; empty: nothing."""


def seconds(text: str) -> float:
    """Return a duration (500ms, 20s, 2m) in seconds. Raises InputError."""
    amount = durations.milliseconds(text)
    if amount is None:
        raise InputError(f"`{text}` is not a duration", "for example 500ms, 20s, 2m")
    return amount / 1000


def complete_fault(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete the names of faults."""
    from lab.chaos import faults

    return [name for name in faults.names() if name.startswith(incomplete)]


def complete_target(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete targets: selectors, and nodes of the lab that was named before."""
    from lab.base.errors import LabError
    from lab.chaos import targets

    try:
        nodes = [node.name for node in find_lab(ctx.params.get("lab")).topology.machines]
    except LabError:
        nodes = []
    known = (*nodes, *targets.SELECTORS, "role:master", "role:worker", "all")
    return [target for target in known if target.startswith(incomplete)]


@click.group("fault", epilog="Example: halab fault inject 3m3w hang @vip-holder --for 20s")
def fault_command() -> None:
    """Break a lab on purpose, prove that it is broken, heal it."""


@fault_command.command("list", epilog="Examples: halab fault list · halab fault list 3m3w")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def list_faults(lab: str | None, output: str) -> None:
    """List all faults, and which of them are on.

    HERE says whether LAB's first master and this host have what a fault needs. Without LAB the
    only lab is asked; if there is none, the list just says what each fault needs.
    """
    from lab.chaos import faults
    from lab.cli import output as out

    chaos = _chaos(lab)
    known = sorted(faults.all_faults().items())
    missing = chaos.missing() if chaos else None
    active = chaos.active() if chaos else ()
    if output == "json":
        rows = [_fault_answer(name, fault, missing) for name, fault in known]
        out.answer({"faults": rows, "active": [asdict(each) for each in active]})
        return
    table = [
        [name, fault.summary, fault.needs or "-", _here(name, missing)] for name, fault in known
    ]
    out.table(["FAULT", "WHAT IT DOES", "NEEDS", "HERE"], table)
    for each in active:
        since = time.strftime("%H:%M:%S", time.localtime(each.since))
        click.echo(f"on: {each.fault} at {each.node} since {since} ({each.id})")


def _fault_answer(name: str, fault: Fault, missing: Missing | None) -> dict[str, Any]:
    return {
        "name": name,
        "summary": fault.summary,
        "options": fault.options,
        "needs": fault.needs,
        "here": None if missing is None else not missing[name],
        "not_here": "" if missing is None else missing[name],
    }


def _here(name: str, missing: Missing | None) -> str:
    """Say whether a lab has what a fault needs; without a lab nobody knows."""
    if missing is None:
        return "?"
    return f"no: {missing[name]}" if missing[name] else "yes"


def _chaos(lab: str | None) -> LabFaults | None:
    """Return the lab that was named, or the only one; None if there is none or no engine."""
    from lab.base.errors import LabError
    from lab.chaos.lab_faults import LabFaults

    try:
        return LabFaults(find_lab(lab))
    except LabError:
        if lab:
            raise
        return None


@fault_command.command(
    "inject",
    epilog="Example: halab fault inject 3m3w partition minority --set from=masters --for 30s",
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("fault", shell_complete=complete_fault)
@click.argument("target", shell_complete=complete_target)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Set an option of the fault; `halab fault list` shows them.",
)
@click.option(
    "--for",
    "hold",
    default="",
    metavar="TIME",
    help="Heal it after this time (500ms, 20s, 2m); without --for it stays until it is healed.",
)
@click.option(
    "--seed",
    type=int,
    default=None,
    help="Seed for random targets: the same seed chooses the same node.",
)
@option_output
def inject(
    lab: str,
    fault: str,
    target: str,
    given: tuple[str, ...],
    hold: str,
    seed: int | None,
    output: str,
) -> None:
    """Inject FAULT at TARGET, and prove that it has an effect.

    TARGET is a node's name, @leader, @vip-holder, @first-master, @random-master, @random-worker,
    minority, majority, role:master, role:worker, role:loadbalancer or all; commas join several.
    Two halves: `partition minority --set from=majority`, or `partition m,w1 --set from=rest`.
    """
    from lab.chaos.healing import Healer
    from lab.chaos.injector import Injector
    from lab.chaos.lab_faults import LabFaults
    from lab.cli import output as out

    options = dict(map(_pair, given))
    duration = seconds(hold) if hold else 0.0
    chaos = LabFaults(find_lab(lab))
    seed = random.randrange(2**31) if seed is None else seed  # noqa: S311 (a die)
    nodes = chaos.targets(target, seed)
    effects = Injector(chaos).inject(fault, nodes, options)
    if output == "text":
        _show_effects(effects, f", seed {seed}" if "random" in target else "")
    healing = 0.0
    if duration:
        try:
            time.sleep(duration)
        finally:
            begin = time.monotonic()
            healed = Healer(chaos).heal([effect.active for effect in effects])
            healing = time.monotonic() - begin
        if output == "text":
            click.echo(f"healed in {healing:.2f} s")
        Healer(chaos).rejoin(healed, _progress)
    elif output == "text":
        hint(f"it stays until `halab fault heal {chaos.lab.name}` heals it")
    if output == "json":
        answer = {
            "seed": seed,
            "healed": bool(duration),
            "heal_seconds": round(healing, 3),
            "effects": [effect.to_dict() for effect in effects],
        }
        out.answer(answer)


def _progress(detail: str) -> None:
    hint(f"… {detail}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"`{text}` is not OPTION=VALUE", "for example --set percent=5")
    return key, value


def _show_effects(effects: tuple[Effect, ...], more: str) -> None:
    for effect in effects:
        active = effect.active
        took = f"after {effect.seconds * 1000:.0f} ms{more}"
        click.echo(f"{active.fault} at {active.node}: {effect.evidence} ({took})")


@fault_command.command("heal", epilog="Example: halab fault heal 3m3w partition")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("which", required=False, metavar="[FAULT|ID]")
@option_output
def heal(lab: str | None, which: str | None, output: str) -> None:
    """Heal all faults that are on, or only those of one name or id.

    It does not matter who injected them, or whether that process still lives. What a killed run
    left in the lab to measure it is removed as well, unless a run goes on.
    """
    from lab.chaos.healing import Healer
    from lab.chaos.lab_faults import LabFaults
    from lab.cli import output as out

    chaos = LabFaults(find_lab(lab))
    healed = Healer(chaos).heal(chaos.chosen(which) if which else None)
    Healer(chaos).rejoin(healed, _progress)
    removed = not which and _remove_leftovers(chaos)
    if output == "json":
        answer = {"healed": [asdict(each) for each in healed], "leftovers_removed": removed}
        out.answer(answer)
        return
    lines = [f"healed {each.fault} at {each.node}" for each in healed]
    click.echo("\n".join(lines) or "no fault is on")
    if removed:
        click.echo("removed what a killed run had left to measure the lab")


def _remove_leftovers(chaos: LabFaults) -> bool:
    """Return whether a killed run had left anything; the faults are healed in any case."""
    from lab.base.errors import LabError
    from lab.measure import leftovers

    try:
        return leftovers.remove_of_dead_runs(chaos.lab, _progress)
    except LabError as error:
        hint(f"what killed runs may have left was not looked for: {error.message}")
        return False
