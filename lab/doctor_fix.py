"""What `halab doctor --fix` does: packages, the engine, limits, left-overs. It says each thing before it does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import engine
from lab.doctor import INOTIFY
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.doctor import Finding

PACKAGES = {"dockerd": "docker.io", "debootstrap": "debootstrap", "gcc": "gcc", "iptables": "iptables"}
"""Program → Debian's package; libc6-dev comes with gcc's recommendation and is named with it."""
ENGINE_WAIT_S = 60
LOG = Path("/var/log/dockerd.log")



def run(argv: list[str]) -> None:
    """Run a command. Raises LabError with the tail of what it printed."""
    result = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if result.returncode != 0:
        raise LabError(f"`{' '.join(argv)}` ended with {result.returncode}:\n{(result.stdout + result.stderr)[-1500:]}")


def fix(findings: Iterable[Finding], tell: Callable[[str], None], execute: Callable[[list[str]], None] = run) -> None:
    """Do what can be done about the fixable findings. Raises LabError where a step fails."""
    names = {finding.name for finding in findings if finding.fixable}
    root = os.geteuid() == 0
    if names and not root:
        tell("not root: only what needs no root is done; the remedies say the rest")
    if "engine" in names and root:
        _packages(tell, execute, engine_too=True)
        _start_engine(tell, execute)
    elif "build tools" in names and root:
        _packages(tell, execute, engine_too=False)
    for name, value in INOTIFY.items():
        if f"fs.inotify.{name}" in names and root:
            tell(f"setting fs.inotify.{name} to {value}")
            execute(["sysctl", "-q", "-w", f"fs.inotify.{name}={value}"])
    if "left-overs" in names:
        connected = engine.connect()
        for helper in connected.labelled("halab.helper=1")[0]:
            tell(f"removing helper container {helper[:12]}")
            connected.remove_container(helper)


def _packages(tell: Callable[[str], None], execute: Callable[[list[str]], None], *, engine_too: bool) -> None:
    """Install Debian's packages for the programs that are missing."""
    missing = [package for program, package in PACKAGES.items() if not _there(program) and (engine_too or program != "dockerd")]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"missing: {', '.join(missing)}", "halab installs on Debian and Ubuntu only: install Docker yourself")
    if "gcc" in missing:
        missing.append("libc6-dev")
    tell(f"installing {', '.join(missing)}")
    execute(["apt-get", "update", "-qq"])
    execute(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])


def _there(program: str) -> bool:
    return bool(shutil.which(program) or Path("/usr/sbin", program).exists())


def _start_engine(tell: Callable[[str], None], execute: Callable[[list[str]], None]) -> None:
    """Start Docker: by systemd where that runs, else by hand, detached from this terminal."""
    if _answers():
        return
    if Path("/run/systemd/system").is_dir():
        tell("starting Docker (systemctl start docker)")
        execute(["systemctl", "start", "docker"])
    else:
        tell(f"starting Docker (dockerd; its log is {LOG})")
        with LOG.open("ab") as log:
            subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    begin = time.monotonic()
    while not _answers():
        if time.monotonic() - begin > ENGINE_WAIT_S:
            tail = LOG.read_text(errors="replace")[-1500:] if LOG.exists() else ""
            raise LabError(f"Docker does not answer after {ENGINE_WAIT_S} s:\n{tail}", "look at its log")
        time.sleep(0.5)


def _answers() -> bool:
    try:
        engine.connect()
    except LabError:
        return False
    return True
