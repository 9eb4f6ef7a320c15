"""`halab doctor --fix`: install packages, start the engine, raise limits, remove left-overs.

Each thing is announced before it is done.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.base import kernel
from lab.base.errors import LabError
from lab.base.parallel import raise_together
from lab.engine import client
from lab.host import cpu_weight, doctor, findings, limits, realtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.host.findings import Finding

    Tell = Callable[[str], None]
    Execute = Callable[[list[str]], None]
    Detach = Callable[[list[str], Path], Callable[[], int | None]]

SYSTEMD = Path("/run/systemd/system")
LOG = Path("/var/log/dockerd.log")
ENGINE_WAIT_S = 60
MODULES_LOAD = Path("/etc/modules-load.d/halab.conf")
"""The modules that systemd (and OpenRC) load at each boot (modules-load.d(5))."""
LIMITS = {f"fs.inotify.{name}" for name in limits.INOTIFY}
ENGINE_CGROUP = {realtime.NAME: realtime.fix, cpu_weight.NAME: cpu_weight.fix}
"""What the engine's own cgroup lacks → what gives it."""
AS_ROOT = {"engine", "build tools", "br_netfilter", *ENGINE_CGROUP, *LIMITS}
"""Findings that only root can fix."""


def run(argv: list[str]) -> None:
    """Run a command. If it fails, raise LabError with the last 1,500 characters that it printed."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        result = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise LabError(f"`{' '.join(argv)}` cannot be run: {error}") from error
    if result.returncode != 0:
        tail = (result.stdout + result.stderr)[-1500:]
        raise LabError(f"`{' '.join(argv)}` ended with {result.returncode}:\n{tail}")


def detached(argv: list[str], log: Path) -> Callable[[], int | None]:
    """Start a command that outlives this process and its terminal; `log` gets its output.

    Return a function that asks for its exit code (None: it still runs). Raise LabError if it cannot
    be started.
    """
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
    except OSError as error:
        raise LabError(f"`{' '.join(argv)}` cannot be run: {error}") from error
    return process.poll


def fix(
    findings: Iterable[Finding], tell: Tell, execute: Execute = run, detach: Detach = detached
) -> list[Finding]:
    """Fix what can be fixed, and return all findings as they are then.

    `tell` announces each step, `execute` and `detach` run commands. If a step fails, the others are
    done all the same; then LabError is raised, or ApplyError for several.
    """
    after: list[Finding] = []
    errors: list[LabError] = []
    findings = list(findings)
    building = any(finding.name == "build tools" and finding.fixable for finding in findings)
    for finding in findings:
        if not finding.fixable:
            after.append(finding)
        elif finding.name in AS_ROOT and os.geteuid() != 0:
            tell(f"{finding.name}: needs root, left as it is")
            after.append(finding)
        else:
            try:
                after.append(_one(finding, tell, execute, detach, building=building))
            except LabError as error:
                errors.append(error)
    raise_together(errors)
    return after


def _one(
    finding: Finding, tell: Tell, execute: Execute, detach: Detach, *, building: bool
) -> Finding:
    """Fix one finding and look again. `building`: the build tools are needed, too."""
    if finding.name == "engine":
        # The build tools come along, for one `apt-get update`. On a system without apt-get only
        # Docker itself is a must.
        along = {"iptables": _lacks("iptables")} if doctor.there("apt-get") else {}
        along |= _tools() if along and building else {}
        install({"docker.io": _lacks("dockerd"), **along}, tell, execute)
        start_engine(tell, execute, detach)
        return findings.version(client.connect().info())
    if finding.name == "build tools":
        install(_tools(), tell, execute)
        return doctor.build_tools()
    if finding.name == "left-overs":
        return _remove_helpers(tell)
    if finding.name == "br_netfilter":
        return _bridge(tell, execute)
    if finding.name in ENGINE_CGROUP:
        return ENGINE_CGROUP[finding.name](client.connect().info(), tell)
    limit = finding.name.removeprefix("fs.inotify.")
    tell(f"setting fs.inotify.{limit} to {limits.INOTIFY[limit]}")
    execute(["sysctl", "-q", "-w", f"fs.inotify.{limit}={limits.INOTIFY[limit]}"])
    return limits.watches(limit)


def _bridge(tell: Tell, execute: Execute) -> Finding:
    """Load br_netfilter, now and at each boot."""
    tell(f"loading br_netfilter, and at each boot ({MODULES_LOAD})")
    execute(["modprobe", "br_netfilter"])
    try:
        MODULES_LOAD.parent.mkdir(exist_ok=True)
        why = "# Kubernetes' rules must see bridged packets (halab doctor --fix)."
        MODULES_LOAD.write_text(f"{why}\nbr_netfilter\n")
    except OSError as error:
        raise LabError(f"br_netfilter is loaded, but not for the next boot: {error}") from error
    return limits.bridge(kernel.feature("br_netfilter"))


def _lacks(program: str) -> bool:
    return not doctor.there(program, f"/usr/sbin/{program}")


def _tools() -> dict[str, bool]:
    """Return the Debian packages for building images, package → whether it is missing."""
    return {"debootstrap": _lacks("debootstrap")}


def install(packages: dict[str, bool], tell: Tell, execute: Execute) -> None:
    """Install the packages that are missing (package → whether it is).

    Raise LabError if the system has no apt-get.
    """
    missing = [package for package, lacking in packages.items() if lacking]
    if not missing:
        return
    if not doctor.there("apt-get"):
        raise LabError(
            f"missing: {', '.join(missing)}",
            "halab installs on Debian and Ubuntu only: install them yourself",
        )
    tell(f"installing {', '.join(missing)}")
    execute(["apt-get", "update", "-qq"])
    execute(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing])


def start_engine(tell: Tell, execute: Execute, detach: Detach) -> None:
    """Start Docker and wait until it answers: by systemd, or else detached from this terminal."""
    if answers():  # a package may start it
        return
    if SYSTEMD.is_dir():
        tell("starting Docker (systemctl start docker)")
        execute(["systemctl", "start", "docker"])
        await_engine(lambda: None, "see `journalctl -u docker`")
        return
    tell(f"starting Docker (dockerd; its log is {LOG})")
    ended = detach(["dockerd"], LOG)
    await_engine(ended, f"see {LOG}", LOG)


def await_engine(ended: Callable[[], int | None], hint: str, log: Path | None = None) -> None:
    """Wait until Docker answers.

    Raise LabError with the log's tail if it ends (`ended` returns its exit code), or takes longer
    than ENGINE_WAIT_S.
    """
    begin = time.monotonic()
    while not answers():
        code, waited = ended(), time.monotonic() - begin
        if code is not None or waited > ENGINE_WAIT_S:
            what = (
                f"Docker does not answer after {waited:.0f} s"
                if code is None
                else f"dockerd ended with {code}"
            )
            tail = log.read_text(errors="replace")[-1500:] if log and log.exists() else ""
            raise LabError(f"{what}:\n{tail}" if tail else what, hint)
        time.sleep(0.5)


def answers() -> bool:
    """Whether an engine answers."""
    try:
        client.connect()
    except LabError:
        return False
    return True


def _remove_helpers(tell: Tell) -> Finding:
    connected = client.connect()
    for helper in doctor.helpers(connected):
        tell(f"removing helper container {helper[:12]}")
        connected.remove_container(helper)
    return findings.leftovers(doctor.helpers(connected))
