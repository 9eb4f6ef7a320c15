"""Shell that runs on nodes: its grammar, and what it does, with doubles of the node's commands."""

from __future__ import annotations

import os
import pkgutil
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from faultdoubles import FaultEngine, site

import lab.chaos
from lab.base.errors import CommandFailed
from lab.base.wait import Observation, until
from lab.chaos import wire
from lab.chaos.faults import address, disk, nic, traffic
from lab.chaos.script import Script
from lab.engine.commands import Result

if TYPE_CHECKING:
    from pathlib import Path


def all_scripts() -> dict[str, Script]:
    """Every script of lab/chaos, by module and name."""
    scripts: dict[str, Script] = {}
    for module in pkgutil.walk_packages(lab.chaos.__path__, "lab.chaos."):
        for value in vars(import_module(module.name)).values():
            several = value.values() if isinstance(value, dict) else [value]
            scripts |= {one.name: one for one in several if isinstance(one, Script)}
    return scripts


SCRIPTS = all_scripts()


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_valid_shell(name: str) -> None:
    argv = ["sh", "-n", "-c", SCRIPTS[name].text]
    assert subprocess.run(argv, capture_output=True, check=True).stderr == b""


def test_scripts_have_names_of_their_own() -> None:
    assert len(SCRIPTS) >= 20
    assert len({script.text for script in SCRIPTS.values()}) == len(SCRIPTS)


def test_script_takes_arguments_as_they_are() -> None:
    script = Script("show", 'printf "%s\\n" "$0" "$@"')
    arguments = ["a b", "$HOME", "'; exit 1; '", "*"]
    shown = subprocess.run(script.argv(*arguments), capture_output=True, check=True, text=True)
    assert shown.stdout.splitlines() == ["show", *arguments]


def test_script_that_fails_shows_its_name_and_not_its_text() -> None:
    node = site(engine=FaultEngine({"try-it": Result(2, "no such thing")})).node
    script = Script("try-it", "long text")
    assert script.run(node, "x", check=False).code == 2
    with pytest.raises(CommandFailed, match="no such thing") as failure:
        script.run(node, "x")
    assert "`try-it x` ended with 2" in failure.value.message
    assert "long text" not in failure.value.message


class Commands:
    """Doubles of a node's commands: each notes how it was called, answers, and ends as told."""

    NAMES = (
        "arping busybox crm_resource curl ip iptables mknod nft ping rm sleep systemctl "
        "systemd-run tc umount"
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for command in self.NAMES.split():
            self.answer(command)

    def answer(self, command: str, text: str = "", code: int = 0) -> None:
        file = self.folder / command
        note = f"echo {command} \"$@\" >> '{self.folder}/called'"
        file.write_text(f"#!/bin/sh\n{note}\necho '{text}'\nexit {code}\n")
        file.chmod(0o755)

    def run(self, script: Script, *arguments: str) -> tuple[int, str, list[str]]:
        """Return the script's exit code, its output, and the commands that it called."""
        (self.folder / "called").write_text("")
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            script.argv(*arguments),
            env={"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        return done.returncode, done.stdout, self.called()

    def called(self) -> list[str]:
        return (self.folder / "called").read_text().splitlines()


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_a_disk_ails_once_etcd_is_back_on_it(commands: Commands) -> None:
    code, _, called = commands.run(disk.MOUNT, "etcd", "halab-disk-1.service", "systemd-run", "-q")
    assert code == 0
    assert [line for line in called if not line.startswith("mknod")] == [
        "systemctl stop etcd",
        "systemd-run -q",
        "systemctl start --no-block etcd",
        *["curl -s --max-time 2 http://127.0.0.1:2381/metrics -o /dev/null"] * 2,
        "systemctl kill --signal=SIGUSR1 halab-disk-1.service",
    ]


def test_a_disk_that_cannot_be_mounted_fails_before_etcd_starts(commands: Commands) -> None:
    commands.answer("systemd-run", code=3)
    code, _, called = commands.run(disk.MOUNT, "etcd", "halab-disk-1.service", "systemd-run")
    assert code == 3
    assert called[-1] == "systemd-run"


@pytest.mark.parametrize(("state", "starts"), [("active", 1), ("activating", 1), ("failed", 0)])
def test_a_disk_is_healed_and_etcd_restarted_where_it_was_running(
    commands: Commands, state: str, starts: int
) -> None:
    commands.answer("systemctl", state)
    arguments = ("etcd", "/nowhere", "halab-disk-1.service", "made")
    code, _, called = commands.run(disk.UNMOUNT, *arguments)
    assert code == 0
    assert "rm -f /dev/fuse" in called
    assert called.count("systemctl start --no-block etcd") == starts
    _, _, called = commands.run(disk.UNMOUNT, *arguments[:3], "there")
    assert not any(line.startswith("rm") for line in called)


@pytest.mark.parametrize(
    ("means", "shown", "again"),
    [
        ("nft", "counter packets 3 bytes 9 drop", 2),
        ("nft", "counter packets 0 bytes 0 drop", 11),
        ("tc", "qdisc clsact ffff: parent ffff:fff1 Sent 1 bytes 2 pkt (dropped 2, over", 2),
        ("tc", "qdisc clsact ffff: parent ffff:fff1 Sent 1 bytes 2 pkt (dropped 0, over", 11),
        ("tc", "qdisc tbf 1a1b: root (dropped 7, over) qdisc clsact ffff: (dropped 0, over", 11),
    ],
)
def test_fire_shows_what_was_dropped_as_soon_as_something_was(
    commands: Commands, means: str, shown: str, again: int
) -> None:
    commands.answer(means, shown)
    code, text, called = commands.run(wire.FIRE[means], "halab_1", "eth0", "ping -c 1", "1.2.3.4")
    assert code == 0
    assert shown in text
    show = " ".join(wire.show_command(means, "halab_1"))
    assert called.count(show) == again
    assert called.count("sleep 0.01") == again - 2 + (again == 11)


@pytest.mark.parametrize(("means", "applied"), [("nft", "nft -f -"), ("tc", "tc -batch -")])
def test_fire_pings_all_after_the_rules_are_applied(
    commands: Commands, means: str, applied: str
) -> None:
    _, _, called = commands.run(wire.FIRE[means], "halab_1", "eth0", "ping -c 1", "1.1.1.1", "::1")
    assert not any(line.startswith("ping") for line in called[: called.index(applied)])
    pings = {"ping -c 1 1.1.1.1", "ping -c 1 ::1"}
    # The script does not wait for them.
    until("pings", lambda: Observation(ok=pings <= set(commands.called()), detail=""), timeout_s=10)
    commands.answer(means, code=1)
    code, _, called = commands.run(wire.FIRE[means], "halab_1", "eth0", "ping -c 1", "1.1.1.1")
    assert code == 1
    assert len(called) == 1


def test_filters_that_stay_are_an_error(commands: Commands) -> None:
    commands.answer("nft", code=1)
    code, _, called = commands.run(wire.REMOVE, "halab_1", "eth0", "6683")
    assert code == 0
    assert "tc qdisc del dev eth0 clsact" in called
    commands.answer("tc", "filter protocol all pref 6683 bpf")
    code, text, called = commands.run(wire.REMOVE, "halab_1", "eth0", "6683")
    assert code == 1
    assert "filters of tc stay" in text
    assert "tc qdisc del dev eth0 clsact" not in called
    # Another fault's filters stay, and are no error.
    code, _, called = commands.run(wire.REMOVE, "halab_1", "eth0", "1")
    assert code == 0


def test_an_address_that_pacemaker_put_there_stays(commands: Commands) -> None:
    commands.answer("crm_resource", "resource vip is running on: m2")
    for node, removed in (("m2", False), ("m", True)):
        _, _, called = commands.run(address.RELEASE, "172.30.0.50", "vip", node)
        assert ("ip addr del 172.30.0.50/32 dev eth0" in called) is removed


def test_packets_pass_before_the_program_that_holds_them_ends(commands: Commands) -> None:
    code, text, called = commands.run(traffic.UNQUEUE, "halab-1", "eth0", "halab-delay-1.service")
    assert (code, text) == (1, "")
    table = "iptables -w -t mangle"
    assert called == [
        f"{table} -D POSTROUTING -o eth0 -j halab-1",
        f"{table} -F halab-1",
        f"{table} -X halab-1",
        "systemctl stop halab-delay-1.service",
        f"{table} -S",
    ]


def test_an_interface_comes_up_before_its_routes(commands: Commands) -> None:
    _, _, called = commands.run(nic.UP, "eth0", "default via 172.30.0.1", "10.0.0.0/8 via 1.1.1.1")
    assert called == [
        "ip link set eth0 up",
        "ip -4 route replace default via 172.30.0.1 dev eth0",
        "ip -4 route replace 10.0.0.0/8 via 1.1.1.1 dev eth0",
    ]
