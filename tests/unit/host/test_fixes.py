from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from doctored import Machine

from lab.base import kernel
from lab.base.errors import ApplyError, LabError
from lab.host import doctor, fixes, limits
from lab.host.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.skipif(os.geteuid() != 0, reason="fixing limits needs root")
def test_fix_does_what_was_found_and_nothing_else() -> None:
    commands: list[list[str]] = []
    lines: list[str] = []
    findings = [
        Finding("fs.inotify.max_user_instances", "warning", "128", "x", fixable=True),
        Finding("disk", "warning", "x"),
    ]
    fixes.fix(findings, lines.append, commands.append)
    assert commands == [["sysctl", "-q", "-w", "fs.inotify.max_user_instances=512"]]
    assert lines == ["setting fs.inotify.max_user_instances to 512"]


class Bench:
    """Records what fix() does; `have` are the programs that are here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.told: list[str] = []
        self.commands: list[list[str]] = []
        self.have = {"apt-get"}
        self.answers = [False, True]
        self.code: int | None = None
        self.fails: set[str] = set()
        self.log, self.systemd = tmp_path / "dockerd.log", tmp_path / "systemd"
        self.load = tmp_path / "modules-load.d" / "halab.conf"
        for name, path in {
            "LOG": self.log,
            "SYSTEMD": self.systemd,
            "MODULES_LOAD": self.load,
        }.items():
            monkeypatch.setattr(fixes, name, path)
        monkeypatch.setattr(fixes, "ENGINE_WAIT_S", 0.01)
        monkeypatch.setattr(
            fixes,
            "answers",
            lambda: self.answers.pop(0) if len(self.answers) > 1 else self.answers[0],
        )
        monkeypatch.setattr(fixes.time, "sleep", lambda _: None)
        monkeypatch.setattr(doctor, "there", lambda program, _="": program in self.have)
        monkeypatch.setattr(
            limits, "watches", lambda name: Finding(f"fs.inotify.{name}", "ok", "now")
        )
        monkeypatch.setattr(os, "geteuid", lambda: 0)

    def execute(self, argv: list[str]) -> None:
        self.commands.append(argv)
        if argv[0] in self.fails:
            raise LabError(f"{argv[0]} failed")
        if argv[:2] == ["apt-get", "install"]:
            self.have |= {"dockerd", "debootstrap", "iptables"}

    def detach(self, argv: list[str], log: Path) -> Callable[[], int | None]:
        self.commands.append(["detached", *argv])
        log.write_text("failed to start: iptables not found")
        return lambda: self.code

    def fix(self, *names: str) -> list[Finding]:
        findings = [Finding(name, "warning", "before", "do it", fixable=True) for name in names]
        return fixes.fix(
            [*findings, Finding("disk", "ok", "x")], self.told.append, self.execute, self.detach
        )


@pytest.fixture
def bench(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path)


UPDATE, INSTALL = (
    ["apt-get", "update", "-qq"],
    ["apt-get", "install", "-y", "-qq", "--no-install-recommends"],
)


ENGINE_PACKAGES = ["docker.io", "iptables"]


def test_fix_installs_and_starts_docker_by_hand(bench: Bench) -> None:
    after = bench.fix("engine")
    assert bench.commands == [UPDATE, [*INSTALL, *ENGINE_PACKAGES], ["detached", "dockerd"]]
    assert bench.told == [
        f"installing {', '.join(ENGINE_PACKAGES)}",
        f"starting Docker (dockerd; its log is {bench.log})",
    ]
    assert [(finding.name, finding.state) for finding in after] == [
        ("engine", "ok"),
        ("disk", "ok"),
    ]


def test_fix_starts_docker_by_systemd(bench: Bench) -> None:
    bench.systemd.mkdir()
    bench.have = {"dockerd"}  # no apt-get: what is not a must is left out
    bench.fix("engine")
    assert bench.commands == [["systemctl", "start", "docker"]]


def test_fix_starts_nothing_that_a_package_started(bench: Bench) -> None:
    bench.answers = [True]
    bench.fix("engine")
    assert bench.commands == [UPDATE, [*INSTALL, *ENGINE_PACKAGES]]


@pytest.mark.parametrize(
    ("code", "words"), [(1, "dockerd ended with 1"), (None, "does not answer after")]
)
def test_an_engine_that_does_not_start_shows_its_log(
    bench: Bench, code: int | None, words: str
) -> None:
    bench.answers, bench.code = [False], code
    with pytest.raises(LabError, match=rf"(?s){words}.*iptables not found"):
        bench.fix("engine")


def test_fix_says_what_it_cannot_install(bench: Bench) -> None:
    bench.have = set()
    with pytest.raises(LabError, match=r"missing: docker.io\n.*Debian and Ubuntu only"):
        bench.fix("engine")
    assert bench.commands == []


def test_fix_installs_build_tools_once(bench: Bench) -> None:
    after = bench.fix("engine", "build tools")
    assert bench.commands[:2] == [UPDATE, [*INSTALL, *ENGINE_PACKAGES, "debootstrap"]]
    assert [argv[1] for argv in bench.commands].count("update") == 1
    assert after[1].state == "ok"
    bench.commands.clear()
    bench.have -= {"debootstrap"}
    bench.fix("build tools")
    assert bench.commands == [UPDATE, [*INSTALL, "debootstrap"]]


def test_fix_sets_limits(bench: Bench) -> None:
    after = bench.fix("fs.inotify.max_user_watches")
    assert bench.commands == [["sysctl", "-q", "-w", "fs.inotify.max_user_watches=524288"]]
    assert bench.told == ["setting fs.inotify.max_user_watches to 524288"]
    assert after[0].state == "ok"


def test_fix_loads_br_netfilter_now_and_at_each_boot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "bridged", lambda _: ["modprobe", "br_netfilter"] in bench.commands)
    after = bench.fix("br_netfilter")
    assert bench.commands == [["modprobe", "br_netfilter"]]
    assert bench.load.read_text().splitlines()[-1] == "br_netfilter"
    assert after[0].state == "ok"
    assert "at each boot" in bench.told[0]


def test_fix_says_so_where_the_next_boot_will_not_load_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "modules-load.d").touch()  # no folder
    with pytest.raises(LabError, match="not for the next boot"):
        bench.fix("br_netfilter")


def test_fix_removes_old_helpers_only(
    bench: Bench, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # needs no root
    machine.helpers = Machine((3600, 5)).helpers
    after = bench.fix("left-overs")
    assert machine.removed == [f"helper{3600:012}"]
    assert bench.told == ["removing helper container helper000000"]
    assert after[0] == Finding("left-overs", "ok", "none")


def test_without_root_nothing_is_run_and_all_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    after = bench.fix("engine", "build tools", "fs.inotify.max_user_watches")
    assert bench.commands == []
    assert [line.endswith("needs root, left as it is") for line in bench.told] == [True] * 3
    assert {finding.seen for finding in after} == {"before", "x"}


def test_what_fails_does_not_keep_the_rest_from_being_done(bench: Bench) -> None:
    bench.fails = {"apt-get", "sysctl"}
    with pytest.raises(ApplyError, match=r"(?s)apt-get failed.*sysctl failed"):
        bench.fix("build tools", "fs.inotify.max_user_watches")
    assert [argv[0] for argv in bench.commands] == ["apt-get", "sysctl"]


def test_a_command_that_fails_shows_what_it_printed() -> None:
    with pytest.raises(LabError, match=r"(?s)ended with 3:\nno space"):
        fixes.run(["sh", "-c", "echo no space; exit 3"])
    with pytest.raises(LabError, match="cannot be run"):
        fixes.run(["/no/such/program"])


def test_a_detached_command_writes_its_log_and_tells_its_end(tmp_path: Path) -> None:
    ended = fixes.detached(["sh", "-c", "echo started; exit 4"], tmp_path / "log")
    while (code := ended()) is None:
        pass
    assert code == 4
    assert (tmp_path / "log").read_text() == "started\n"
    with pytest.raises(LabError, match="cannot be run"):
        fixes.detached(["/no/such/program"], tmp_path / "log")
