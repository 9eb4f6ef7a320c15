"""Programs on a node: whether one is there, and halab's own as systemd units of one fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.chaos.script import Script

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault

EXISTS = Script("command-exists", 'command -v "$1"')


def exists(site: FaultSite, command: str) -> bool:
    """Whether the node has a command."""
    return EXISTS.run(site.node, command, check=False).code == 0


def missing(site: FaultSite, program: str) -> str:
    """Return why halab's own program cannot be used; empty if the node's image has it."""
    if exists(site, program):
        return ""
    return f"its image has no {program} (`halab images build`, then a new lab)"


def unit(active: ActiveFault, program: str) -> str:
    """Return the name of the unit that runs a fault's program."""
    return f"{program}-{active.id}.service"


def start_command(active: ActiveFault, program: str, arguments: list[str]) -> list[str]:
    """Return the command that starts a program; it ends once the program says that it is ready."""
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={unit(active, program)}",
        "--service-type=notify",
        f"--description=halab fault {active.fault} {active.id}",
        f"/usr/local/bin/{program}",
        *arguments,
    ]


def counts(site: FaultSite, active: ActiveFault, program: str) -> dict[str, int]:
    """Return what the program has counted, by its own names; empty if it does not run."""
    ask = ["systemctl", "show", "-P", "StatusText", unit(active, program)]
    text = site.node.run(ask, check=False).output.strip()
    pairs = (part.rsplit(" ", 1) for part in text.split(", ") if " " in part)
    return {name: int(number) for name, number in pairs}
