"""Who was fenced, and how busy the host was: noted by the alert agent, shown by status."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from lab.nodes.distributions import upstream
from lab.nodes.ha import cib, fencings
from lab.nodes.ha.fencings import Fencing, alerts, merged

if TYPE_CHECKING:
    from pathlib import Path

    from lab.topology.model import Topology

NOTED = "fenced m2 at 1780000000, load 45.20 on 2"
SHELL = "51: eth0    inet 172.30.0.49/24\netcd_server_is_leader 1\napi 200"


def note(folder: Path, **environment: str) -> str:
    """Run the agent as Pacemaker does; return what it noted."""
    double = folder / "logger"
    double.write_text(f'#!/bin/sh\necho "$@" >>{folder}/noted\n')
    double.chmod(0o755)
    program = folder / "agent"
    program.write_text(fencings.PROGRAM)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", **environment}
    subprocess.run(["sh", str(program)], env=environment, check=True, timeout=60)
    noted = folder / "noted"
    return noted.read_text().strip() if noted.exists() else ""


def test_a_fencing_is_noted_with_the_hosts_load(tmp_path: Path) -> None:
    noted = note(tmp_path, CRM_alert_kind="fencing", CRM_alert_rc="0", CRM_alert_node="m2")
    assert noted.startswith("-t halab-fenced ")
    (fencing,) = alerts(noted.removeprefix("-t halab-fenced "))
    assert fencing.node == "m2"
    assert fencing.processors > 0


@pytest.mark.parametrize(("kind", "code"), [("fencing", "1"), ("node", "0"), ("resource", "0")])
def test_what_is_no_fencing_that_worked_is_not_noted(tmp_path: Path, kind: str, code: str) -> None:
    assert note(tmp_path, CRM_alert_kind=kind, CRM_alert_rc=code, CRM_alert_node="m2") == ""


def test_pacemaker_calls_the_agent_for_fencings_alone(topology: Topology) -> None:
    text = cib.cib(topology, upstream.DISTRIBUTION.health, "x")
    root = ET.fromstring(text)  # noqa: S314 (our own text)
    (alert,) = root.iter("alert")
    assert alert.get("path") == fencings.file().path
    assert fencings.file().mode == 0o755
    selected = [item.tag for item in alert.iter() if item.tag.startswith("select_")]
    assert selected == ["select_fencing"]


def test_notes_are_found_among_other_answers() -> None:
    assert alerts(f"{NOTED}\n-- No entries --\n{SHELL}") == [
        Fencing("m2", 1780000000, 45.2, 2, host_busy=True)
    ]
    assert alerts(SHELL) == []


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (45.2, r"m2 was fenced at \d\d:\d\d:\d\d: token late; .* load was 45 .*, which may be .*"),
        (16.0, r"m2 was fenced at .*: token late; .* load was 16 on 2 processors, which .*"),
        (9.0, r"m2 was fenced at .*: the host's load was 9 on 2 processors"),  # it crashed
    ],
)
def test_a_busy_host_is_told_as_the_reason(load: float, said: str) -> None:
    (fencing,) = alerts(f"fenced m2 at 1780000000, load {load} on 2")
    assert re.fullmatch(said, fencing.sentence())


def test_fencing_names_halabs_own_fault_as_the_reason_on_a_busy_host() -> None:
    fencing = Fencing("m2", 1780000000, 45.2, 2, host_busy=True, faults=("crash at m2",))
    said = r"m2 was fenced at \d\d:\d\d:\d\d, during crash at m2; the host's load was 45 .*"
    assert re.fullmatch(said, fencing.sentence())


def test_a_fencing_that_two_masters_noted_is_one() -> None:
    first, second, other, later = (
        Fencing(node, at, 45.0, 2, host_busy=True)
        for node, at in (("m2", 100), ("m2", 102), ("m3", 101), ("m2", 400))
    )
    assert merged([later, second, other, first]) == (first, other, later)
