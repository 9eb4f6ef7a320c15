"""fault: break a lab on purpose, and heal it."""

from __future__ import annotations

import random
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lab.base.errors import InputError
from lab.cli import option_output
from lab.cli.common import complete_lab, find_lab
from lab.cli.verbosity import hint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from lab.chaos.injector import Effect
    from lab.chaos.lab_faults import LabFaults

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(word: str) -> float:
    """Read a duration: 500ms, 20s, 2m. Raises InputError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", word)
    if not found:
        raise InputError(f"`{word}` is no duration", "for example 500ms, 20s, 2m")
    return float(found[1]) * UNITS[found[2]]


def complete_fault(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete faults' names."""
    from lab.chaos import faults

    return [name for name in faults.names() if name.startswith(incomplete)]


def complete_target(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Complete targets: words, and nodes of the lab named before."""
    from lab.base.errors import LabError
    from lab.chaos import targets

    try:
        nodes = [node.name for node in find_lab(ctx.params.get("lab")).topology.machines]
    except LabError:
        nodes = []
    return [
        word
        for word in (*nodes, *targets.WORDS, "role:master", "role:worker", "all")
        if word.startswith(incomplete)
    ]


@click.group("fault", epilog="Example: halab fault inject 3m3w hang @vip-holder --for 20s")
def fault_command() -> None:
    """Break a lab on purpose, prove that it is broken, heal it."""


@fault_command.command("list")
@click.argument("lab", required=False, shell_complete=complete_lab)
@option_output
def list_faults(lab: str | None, output: str) -> None:
    """List all faults, whether this host and LAB's first master have what they need, and the ones that are on.

    Without LAB the one lab that runs is asked; where there is none, the list says what each fault needs.
    """
    from lab.chaos import faults
    from lab.cli import output as out

    chaos = _chaos(lab)
    known = sorted(faults.all_faults().items())
    lacking = chaos.missing() if chaos else {}
    active = chaos.active() if chaos else ()
    if output == "json":
        rows = [
            {"name": n, "summary": f.summary, "options": f.options, "needs": f.needs, "here": None if chaos is None else not lacking[n],
             "not_here": lacking.get(n, "")}
            for n, f in known
        ]  # fmt: skip
        out.answer({"faults": rows, "active": [asdict(hit) for hit in active]})
        return
    table = [
        [
            n,
            f.summary,
            f.needs or "-",
            "?" if chaos is None else f"no: {lacking[n]}" if lacking[n] else "yes",
        ]
        for n, f in known
    ]
    out.table(["FAULT", "WHAT IT DOES", "NEEDS", "HERE"], table)
    for hit in active:
        click.echo(
            f"on: {hit.fault} at {hit.node} since {time.strftime('%H:%M:%S', time.localtime(hit.since))} ({hit.id})"
        )


def _chaos(lab: str | None) -> LabFaults | None:
    """Give the lab named, or the only one; none where there is none or no engine."""
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
    help="An option of the fault; `halab fault list` shows them.",
)
@click.option(
    "--for",
    "hold",
    default="",
    metavar="TIME",
    help="Heal by itself after 500ms, 20s, 2m; without it the fault stays until healed.",
)
@click.option(
    "--seed", type=int, default=None, help="For random targets: the same seed, the same node."
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
    """Inject FAULT at TARGET and prove that it acts.

    TARGET: a node's name, @leader, @vip-holder, @first-master, @random-master, @random-worker, minority, majority, role:master,
    role:loadbalancer, all; several by commas. Two halves: `partition minority --set from=majority`, or `partition m,w1 --set from=rest`.
    """
    from lab.chaos.healing import Healer
    from lab.chaos.injector import Injector
    from lab.chaos.lab_faults import LabFaults
    from lab.cli import output as out

    options = dict(_pair(word) for word in given)
    duration = seconds(hold) if hold else 0.0
    chaos = LabFaults(find_lab(lab))
    seed = random.randrange(2**31) if seed is None else seed  # noqa: S311 (a dice)
    nodes = chaos.targets(target, seed)
    effects = Injector(chaos).inject(fault, nodes, options)
    if output == "text":
        _tell(effects, f", seed {seed}" if "random" in target else "")
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
        hint(f"it stays until `halab fault heal {chaos.lab.name}`")
    if output == "json":
        answer = {
            "seed": seed,
            "healed": bool(duration),
            "heal_seconds": round(healing, 3),
            "effects": [effect.to_dict() for effect in effects],
        }
        out.answer(answer)


def _progress(seen: str) -> None:
    hint(f"… {seen}")


def _pair(word: str) -> tuple[str, str]:
    key, found, value = word.partition("=")
    if not found:
        raise InputError(f"`{word}` is no OPTION=VALUE", "for example --set percent=5")
    return key, value


def _tell(effects: tuple[Effect, ...], more: str) -> None:
    for effect in effects:
        click.echo(
            f"{effect.active.fault} at {effect.active.node}: {effect.evidence} (after {effect.seconds * 1000:.0f} ms{more})"
        )


@fault_command.command("heal", epilog="Example: halab fault heal 3m3w partition")
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("which", required=False, metavar="[FAULT|ID]")
@option_output
def heal(lab: str | None, which: str | None, output: str) -> None:
    """Heal every fault that is on, whoever injected it; or only the ones of that name or id."""
    from lab.chaos.healing import Healer
    from lab.chaos.lab_faults import LabFaults
    from lab.cli import output as out

    chaos = LabFaults(find_lab(lab))
    healed = Healer(chaos).heal(chaos.chosen(which) if which else None)
    Healer(chaos).rejoin(healed, _progress)
    if output == "json":
        out.answer({"healed": [asdict(hit) for hit in healed]})
    else:
        click.echo(
            "\n".join(f"healed {hit.fault} at {hit.node}" for hit in healed) or "no fault is on"
        )
