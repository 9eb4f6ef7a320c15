"""exec, shell, logs, power, kubectl, kubeconfig: getting at nodes and the cluster."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lab.base.errors import InputError, LabError
from lab.cli.options import (
    complete_lab,
    complete_node,
    complete_node_or_selector,
    find_lab,
    lab_and_node,
    node_name,
    option_output,
)
from lab.cli.verbosity import hint
from lab.engine.labels import LABEL_NODE
from lab.kube import kubeconfig
from lab.live.power import VERBS

if TYPE_CHECKING:
    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _interactive(arguments: list[str]) -> NoReturn:
    """Run Docker's client on this terminal, and exit with its exit code."""
    tool = shutil.which("docker")
    if tool is None:
        raise LabError(
            "an interactive terminal needs the `docker` command",
            "install Docker's client, or use `halab exec`",
        )
    raise SystemExit(subprocess.run([tool, *arguments], check=False).returncode)


@click.command("exec", context_settings=PASS_ON, epilog="Example: halab exec 3m3w m -- crm_mon -1")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("node", shell_complete=complete_node_or_selector)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--timeout", default=600.0, show_default=True, help="Seconds until the command is ended."
)
def exec_command(lab: str, node: str, command: tuple[str, ...], timeout: float) -> int:
    """Run a command on a node and exit with its exit code.

    NODE is a name, or a selector: @vip-holder is the master that has the VIP now.
    Standard input is passed on, unless it is a terminal.
    """
    command = command[1:] if command[0] == "--" else command
    if not command:
        raise InputError("no command to run", "for example `halab exec 3m3w m -- crm_mon -1`")
    owner = find_lab(lab)
    handle = owner.node(node_name(owner, node))
    _expect_running(handle)
    stdin = sys.stdin.buffer.read() if _has_input() else None
    result = handle.run(command, check=False, timeout_s=timeout, stdin=stdin)
    click.echo(result.output, nl=False)
    raise SystemExit(result.code)


def _expect_running(node: NodeHandle) -> None:
    """Raise LabError, with what to do, if no command can run on a node."""
    if node.exists and not node.running:
        hint_ = f"`halab start {node.lab} {node.name}`, or `halab fault heal {node.lab}`"
        raise LabError(f"{node.name} is off or frozen: no command runs there", hint_)


def _has_input() -> bool:
    """Whether standard input is a file or a pipe with something in it.

    An open, silent pipe (CI) must not hang us.
    """
    if sys.stdin is None or sys.stdin.isatty():
        return False
    try:
        return bool(select.select([sys.stdin], [], [], 0)[0])
    except (OSError, ValueError):
        return False


@click.command("shell", epilog="Example: halab shell 3m3w m2")
@click.argument(
    "arguments", nargs=-1, required=True, metavar="[LAB] NODE", shell_complete=complete_lab
)
def shell_command(arguments: tuple[str, ...]) -> None:
    """Open a shell on a node."""
    lab, node = lab_and_node(arguments)
    owner = find_lab(lab)
    handle = owner.node(node_name(owner, node))
    _expect_running(handle)
    _interactive(["exec", "-it", handle.container, "bash", "-l"])


@click.command(
    "logs",
    epilog="Examples: halab logs 3m3w m -u etcd · halab logs 3m3w -n 5 · halab logs 3m3w @leader",
)
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("node", required=False, shell_complete=complete_node_or_selector)
@click.option("-u", "--unit", default="", help="Show only this systemd unit.")
@click.option(
    "-n", "--lines", default=50, show_default=True, help="Number of lines from each node."
)
@click.option("-f", "--follow", is_flag=True, help="Keep showing new lines.")
def logs_command(lab: str | None, node: str | None, unit: str, lines: int, follow: bool) -> None:
    """Show the journal of a node, or of all nodes one after the other."""
    handle = find_lab(lab)
    machines = [machine.name for machine in handle.topology.machines]
    node = node_name(handle, node) if node else None
    if follow:
        if not node:
            raise InputError("-f follows one node", f"nodes: {', '.join(machines)}")
        argv = ["journalctl", "-f", "-n", str(lines), *(["-u", unit] if unit else [])]
        _interactive(["exec", handle.node(node).container, *argv])
    running = _running(handle)
    for name in [node] if node else machines:
        journal = handle.node(name).journal
        click.echo(f"--- {name}")
        click.echo(journal(lines, unit) if name in running else "(not running)\n", nl=False)


def _running(lab: Lab) -> set[str]:
    """Return the names of the nodes that run."""
    running = (container for container in lab.observe().containers if container.running)
    return {container.labels.get(LABEL_NODE, "") for container in running}


@click.command(
    "power", epilog="Examples: halab power 3m3w m off · halab power 3m3w m status -o json"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("node", shell_complete=complete_node)
@click.argument("verb", type=click.Choice(VERBS), default="status")
@option_output
def power_command(lab: str, node: str, verb: str, output: str) -> None:
    """Press a node's power button by IPMI, through its baseboard controller, as fencing does.

    off is silent and at once; soft is an orderly shutdown. halab waits for the controller's answer
    only; `halab start LAB NODE` powers a node on and waits until it is Ready.
    """
    from lab.cli import output as out
    from lab.live.power import press

    handle = find_lab(lab)
    answer = press(handle, node, verb)
    if output == "text":
        click.echo(f"{node}: {answer}")
        return
    out.answer(
        {
            "lab": handle.name,
            "node": node,
            "verb": verb,
            "answer": answer,
            "power": press(handle, node, "status").rsplit(" ", 1)[-1],
        }
    )


@click.command(
    "kubectl", context_settings=PASS_ON, epilog="Example: halab kubectl 3m3w -- get nodes -o wide"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl_command(lab: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl against a lab.

    Your own kubectl is used, through the load balancer; without one, a master's.
    """
    arguments = arguments[1:] if arguments[:1] == ("--",) else arguments
    handle = find_lab(lab)
    tool = shutil.which("kubectl")
    if tool:
        _write_own(handle)
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig.own_path(handle.name))}
        done = subprocess.run([tool, *arguments], env=environment, check=False)
        raise SystemExit(done.returncode)
    running = _running(handle)
    masters = [node.name for node in handle.topology.masters if node.name in running]
    if not masters:
        raise LabError(f"no master of lab {handle.name} runs", f"`halab start {handle.name}`")
    stdin = sys.stdin.buffer.read() if "-f-" in arguments or "-" in arguments else None
    argv = ["kubectl", *arguments]
    result = handle.node(masters[0]).run(argv, check=False, timeout_s=600, stdin=stdin)
    click.echo(result.output, nl=False)
    raise SystemExit(result.code)


def _write_own(lab: Lab) -> dict[str, Any]:
    """Write the lab's kubeconfig to its own file, and return it."""
    config = lab.access().kubeconfig(lab.name)
    kubeconfig.write(kubeconfig.own_path(lab.name), config)
    return config


@click.command(
    "kubeconfig", epilog="Examples: halab kubeconfig 3m3w > k.yaml · halab kubeconfig 3m3w --merge"
)
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option("--merge", is_flag=True, help="Merge it into your kubeconfig, as context halab-LAB.")
@click.option("--unmerge", is_flag=True, help="Take it out of your kubeconfig again.")
@option_output
def kubeconfig_command(lab: str | None, merge: bool, unmerge: bool, output: str) -> None:
    """Print a lab's kubeconfig, which leads to the load balancer's port on 127.0.0.1."""
    from lab.base import yaml_files
    from lab.cli import output as out

    if merge and unmerge:
        raise InputError("--merge and --unmerge exclude each other")
    if unmerge:
        _unmerge(lab or find_lab(lab).name)  # a lab that is gone can still be taken out, by name
        return
    handle = find_lab(lab)
    config = _write_own(handle)
    if merge:
        target = kubeconfig.user_path()
        kubeconfig.merge(target, config)
        hint(f"merged into {target}; current context: {kubeconfig.context(handle.name)}")
    elif output == "json":
        out.answer(config)
    else:
        click.echo(yaml_files.dump(config), nl=False)


def _unmerge(lab: str) -> None:
    target, context = kubeconfig.user_path(), kubeconfig.context(lab)
    if kubeconfig.unmerge(target, lab):
        hint(f"took {context} out of {target}")
    else:
        hint(f"found no {context} in {target}")
