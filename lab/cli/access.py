"""exec, shell, logs, kubectl, kubeconfig: getting at nodes and the cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import click

from lab.base.errors import InputError, LabError
from lab.cli import option_output
from lab.cli.common import complete_lab, complete_node, find_lab, split_words
from lab.cli.verbosity import hint
from lab.topology.model import Role

PASS_ON = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _docker() -> str:
    tool = shutil.which("docker")
    if tool is None:
        raise LabError(
            "an interactive terminal needs the `docker` command",
            "install Docker's client, or use `halab exec`",
        )
    return tool


@click.command("exec", context_settings=PASS_ON, epilog="Example: halab exec 3m3w m -- crm_mon -1")
@click.argument("lab", shell_complete=complete_lab)
@click.argument("node", shell_complete=complete_node)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--timeout", default=600.0, show_default=True, help="Seconds until the command is ended."
)
def exec_command(lab: str, node: str, command: tuple[str, ...], timeout: float) -> int:
    """Run a command on a node; its exit code is this one's. Standard input is passed on where it is no terminal."""
    command = command[1:] if command[0] == "--" else command
    if not command:
        raise InputError("no command to run", "for example `halab exec 3m3w m -- crm_mon -1`")
    handle = find_lab(lab).node(node)
    stdin = (
        None
        if sys.stdin is None or sys.stdin.isatty() or not _has_input()
        else sys.stdin.buffer.read()
    )
    result = handle.run(command, check=False, timeout_s=timeout, stdin=stdin)
    click.echo(result.output, nl=False)
    raise SystemExit(result.code)


def _has_input() -> bool:
    """Tell whether standard input is a file or a pipe with something in it: an open, silent pipe (CI) must not hang us."""
    import select

    try:
        return bool(select.select([sys.stdin], [], [], 0)[0])
    except (OSError, ValueError):
        return False


@click.command("shell", epilog="Example: halab shell 3m3w m2")
@click.argument("words", nargs=-1, required=True, metavar="[LAB] NODE", shell_complete=complete_lab)
def shell_command(words: tuple[str, ...]) -> None:
    """Open a shell on a node."""
    lab, node = split_words(words)
    handle = find_lab(lab).node(node)
    raise SystemExit(
        subprocess.run(
            [_docker(), "exec", "-it", handle.container, "bash", "-l"], check=False
        ).returncode
    )


@click.command(
    "logs",
    epilog="Examples: halab logs 3m3w m -u etcd · halab logs 3m3w -n 5 · halab logs 3m3w w1 -f",
)
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.argument("node", required=False, shell_complete=complete_node)
@click.option("-u", "--unit", default="", help="Only this systemd unit.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines of each node.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing new lines.")
def logs_command(lab: str | None, node: str | None, unit: str, lines: int, follow: bool) -> None:
    """Show the journal of a node, or of all nodes one after the other."""
    found = find_lab(lab)
    if follow:
        if not node:
            raise InputError(
                "-f follows one node",
                f"nodes: {', '.join(item.name for item in found.topology.machines)}",
            )
        argv = ["journalctl", "-f", "-n", str(lines), *(["-u", unit] if unit else [])]
        raise SystemExit(
            subprocess.run(
                [_docker(), "exec", found.node(node).container, *argv], check=False
            ).returncode
        )
    running = {item.labels.get("halab.node") for item in found.observe().containers if item.running}
    for name in [node] if node else [item.name for item in found.topology.machines]:
        handle = found.node(name)
        click.echo(f"--- {name}")
        click.echo(handle.journal(lines, unit) if name in running else "(does not run)\n", nl=False)


@click.command(
    "kubectl", context_settings=PASS_ON, epilog="Example: halab kubectl 3m3w -- get nodes -o wide"
)
@click.argument("lab", shell_complete=complete_lab)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl_command(lab: str, arguments: tuple[str, ...]) -> None:
    """Run kubectl against a lab: yours through the load balancer where you have one, else a master's own."""
    arguments = arguments[1:] if arguments[:1] == ("--",) else arguments
    found = find_lab(lab)
    tool = shutil.which("kubectl")
    if tool:
        from lab.kube import kubeconfig

        _write_own(found)
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig.own_path(found.name))}
        raise SystemExit(
            subprocess.run([tool, *arguments], env=environment, check=False).returncode
        )
    running = {item.labels.get("halab.node") for item in found.observe().containers if item.running}
    master = next(
        (
            node
            for node in found.topology.nodes
            if node.role is Role.MASTER and node.name in running
        ),
        None,
    )
    if master is None:
        raise LabError(f"no master of lab {found.name} runs", f"`halab start {found.name}`")
    stdin = sys.stdin.buffer.read() if "-f-" in arguments or "-" in arguments else None
    result = found.node(master.name).run(
        ["kubectl", *arguments], check=False, timeout_s=600, stdin=stdin
    )
    click.echo(result.output, nl=False)
    raise SystemExit(result.code)


def _write_own(found: object) -> dict[str, object]:
    from lab.kube import kubeconfig
    from lab.live.lab import Lab

    assert isinstance(found, Lab)  # noqa: S101 (for the type checker: `Lab` is imported late)
    config = found.access().kubeconfig(found.name)
    kubeconfig.write(kubeconfig.own_path(found.name), config)
    return config


@click.command(
    "kubeconfig", epilog="Examples: halab kubeconfig 3m3w > k.yaml · halab kubeconfig 3m3w --merge"
)
@click.argument("lab", required=False, shell_complete=complete_lab)
@click.option(
    "--merge", is_flag=True, help="Put it into your own kubeconfig, as context halab-LAB."
)
@click.option("--unmerge", is_flag=True, help="Take it out of your own kubeconfig again.")
@option_output
def kubeconfig_command(lab: str | None, merge: bool, unmerge: bool, output: str) -> None:
    """Print a lab's kubeconfig: valid through the load balancer's port on 127.0.0.1."""
    from lab.base import yaml_files
    from lab.cli import output as out
    from lab.kube import kubeconfig

    if merge and unmerge:
        raise InputError("--merge and --unmerge exclude each other")
    target = kubeconfig.user_path()
    if unmerge:
        name = lab or find_lab(lab).name  # a lab that is gone can still be taken out, by name
        gone = kubeconfig.unmerge(target, name)
        hint(
            f"{'took' if gone else 'found no'} {kubeconfig.context(name)} {'out of' if gone else 'in'} {target}"
        )
        return
    found = find_lab(lab)
    config = _write_own(found)
    if merge:
        kubeconfig.merge(target, config)
        hint(f"merged into {target}; current context: {kubeconfig.context(found.name)}")
    elif output == "json":
        out.answer(config)
    else:
        click.echo(yaml_files.dump(config), nl=False)
