"""k3d, kind and minikube with three servers and three workers, where they can be had here.

Each is a program and an image that its makers publish. What is missing is named.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
{nodes}"""
KIND_NODES = "".join(f"- role: {role}\n" for role in ["control-plane"] * 3 + ["worker"] * 3)
TIMEOUT_S = 900


@dataclass(frozen=True)
class Rival:
    """Another program that makes clusters of containers."""

    program: str
    create: tuple[str, ...]
    delete: tuple[str, ...]
    stdin: str = ""

    def absent(self) -> str:
        """Return why it cannot be measured, before anything is tried; "" if it can."""
        found = shutil.which(self.program)
        return "" if found else f"there is no program `{self.program}` on this machine's PATH"


def rivals(name: str) -> tuple[Rival, ...]:
    """Return all of them, with clusters of that name."""
    k3d = ("k3d", "cluster", "create", name, "--servers", "3", "--agents", "3", "--wait")
    kind = ("kind", "create", "cluster", "--name", name, "--config", "-", "--wait", "10m")
    minikube = ("minikube", "start", "-p", name, "--driver=docker", "--ha", "--nodes=6")
    return (
        Rival("k3d", k3d, ("k3d", "cluster", "delete", name)),
        Rival(
            "kind",
            kind,
            ("kind", "delete", "cluster", "--name", name),
            KIND.format(nodes=KIND_NODES),
        ),
        Rival("minikube", minikube, ("minikube", "delete", "-p", name)),
    )


def measure(rival: Rival) -> float | str:
    """Return the seconds it took to make a cluster, which is removed again, or why it failed.

    The first try fetches its images: only a second one counts.
    """
    if why := rival.absent():
        return why
    first = _once(rival)
    return first if isinstance(first, str) else _once(rival)


def _once(rival: Rival) -> float | str:
    begin = time.monotonic()
    try:
        made = _run(rival.create, rival.stdin)
        took = time.monotonic() - begin
    except subprocess.TimeoutExpired:
        return f"`{' '.join(rival.create[:3])}` did not end within {TIMEOUT_S} s"
    finally:
        _run(rival.delete, "")
    if made.returncode:
        lines = made.stderr.strip().splitlines() or [f"exit code {made.returncode}"]
        return f"`{' '.join(rival.create[:3])}` failed: {lines[-1][:160]}"
    return took


def _run(argv: tuple[str, ...], stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )


def measure_all(name: str, note: Callable[[str, float | str], None]) -> None:
    """Measure each; `note` hears its name and the seconds, or why it was skipped."""
    for rival in rivals(name):
        note(rival.program, measure(rival))
