"""halab's own programs on a machine as systemd units of one fault: started, asked how far they are, ended. Nothing of them stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite
    from lab.live.active_faults import ActiveFault


def missing(site: FaultSite, program: str) -> str:
    """Say so where the node's image has no such program."""
    there = site.node.run(["sh", "-c", f"command -v {program}"], check=False).code == 0
    return "" if there else f"its image has no {program} (`halab images build`, then a new lab)"


def unit(active: ActiveFault, program: str) -> str:
    """Name the unit of a fault's program."""
    return f"{program}-{active.id}.service"


def start_words(active: ActiveFault, program: str, words: list[str]) -> list[str]:
    """Return the command that starts a program and ends once it says that it is ready."""
    return [
        "systemd-run", "--quiet", "--collect", f"--unit={unit(active, program)}", "--service-type=notify",
        f"--description=halab fault {active.fault} {active.id}", f"/usr/local/bin/{program}", *words,
    ]  # fmt: skip


def told(site: FaultSite, active: ActiveFault, program: str) -> dict[str, int]:
    """Return what the program says that it did: word → number; nothing where it does not run."""
    text = site.node.run(
        ["systemctl", "show", "-P", "StatusText", unit(active, program)], check=False
    ).output.strip()
    pairs = (part.rsplit(" ", 1) for part in text.split(", ") if " " in part)
    return {word: int(number) for word, number in pairs}
