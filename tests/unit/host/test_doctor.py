"""doctor: each fact is judged by a pure function; what is fixed is recorded by a double.

No engine, no command is run.
"""

from __future__ import annotations

import gzip
import os
import resource
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, NoReturn

import pytest

from lab.base import kernel
from lab.base.errors import ApplyError, EngineError, InputError, LabError
from lab.base.kernel import FEATURES
from lab.base.sizes import GIB
from lab.engine import about, client, fitness
from lab.engine.spec import Observed, ObservedContainer
from lab.host import capacity, doctor, findings, fixes, limits, network, wire
from lab.host.capacity import Room
from lab.host.findings import Finding
from lab.images import components
from lab.images.sources import sources_for, tags

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.topology.model import Topology

INFO = {
    "ServerVersion": "28.0",
    "ApiVersion": "1.48",
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "MemTotal": 16 * GIB,
    "OperatingSystem": "Debian",
    "DockerRootDir": "/",
}
DESKTOP = {**INFO, "OperatingSystem": "Docker Desktop"}
NOT_THERE = EngineError("no Docker engine answers", "start Docker")
REFUSED = EngineError("Docker refuses this user (permission denied on its socket)", "usermod")


class Machine:
    """An engine with some helpers and a lab."""

    def __init__(
        self, ages_s: tuple[int, ...] = (), subnets: dict[str, str] | None = None, port: int = 0
    ) -> None:
        self.helpers = {
            f"helper{age:012}": datetime.now(UTC) - timedelta(seconds=age) for age in ages_s
        }
        self.networks, self.port, self.told = subnets or {}, port, INFO
        self.removed: list[str] = []
        self.sick = False
        self.local = True

    def info(self) -> dict[str, object]:
        return self.told

    @property
    def about(self) -> dict[str, object]:
        return self.told

    def images(self) -> dict[str, object]:
        return {}

    def labelled(self, label: str) -> tuple[list[str], list[str], list[str]]:
        if self.sick:
            raise EngineError("listing what bears it: broken", "restart it")
        assert label == "halab.helper=1"
        return list(self.helpers), [], []

    def inspect(self, helper: str) -> dict[str, str]:
        return {"Created": f"{self.helpers[helper]:%Y-%m-%dT%H:%M:%S}.123456789Z"}

    def remove_container(self, helper: str) -> None:
        self.removed.append(helper)
        del self.helpers[helper]

    def labs(self) -> dict[str, Observed]:
        return {}

    def subnets(self) -> dict[str, str]:
        return self.networks

    def observe(self, lab: str) -> Observed:
        balancer = ObservedContainer(
            id="x", name="lb", state="running", labels={}, ports={6443: self.port}
        )
        return Observed(lab=lab, containers=(balancer,) if self.port else ())


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A healthy Linux machine without any network but the engine's."""
    made = Machine()
    monkeypatch.setattr(client, "connect", lambda: made)
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "free_port", lambda first: first)
    monkeypatch.setattr(components, "reachable", lambda _: True)
    monkeypatch.setattr(about, "startable", lambda: True)
    room = Room(memory=16 * GIB, free_memory=12 * GIB, cpus=4, free_disk=100 * GIB, sure=True)
    look = capacity.look
    monkeypatch.setattr(
        capacity,
        "look",
        lambda *given, local: room if local else look(*given, local=False),
    )
    return made


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def refuse(error: LabError) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


CASES = {
    "new engine": (lambda _: findings.version(INFO), "ok", "Docker 28.0, API 1.48", ""),
    "oldest engine": (
        lambda _: findings.version({**INFO, "ApiVersion": "1.41"}),
        "ok",
        "API 1.41",
        "",
    ),
    "old engine": (
        lambda _: findings.version({**INFO, "ApiVersion": "1.40"}),
        "failed",
        "too old",
        "20.10",
    ),
    "no engine": (
        lambda _: findings.no_engine(NOT_THERE, startable=True),
        "failed",
        "no Docker",
        "start Docker",
    ),
    "cgroups": (lambda _: findings.engine_setup(INFO)[0], "ok", "version 2, driver systemd", ""),
    "desktop": (
        lambda _: findings.engine_setup(DESKTOP)[1],
        "warning",
        "not reachable",
        "published port",
    ),
    "privileged": (lambda _: findings.privileges(full=True), "ok", "--privileged starts", ""),
    "capabilities": (lambda _: findings.privileges(full=False), "ok", "but CAP_SYS_RESOURCE", ""),
    "privilege unknown": (
        lambda _: findings.privileges(full=None),
        "warning",
        "no image",
        "asked at the first start",
    ),
    "port": (lambda _: findings.port(6443, 6443), "ok", "6443 can be used", ""),
    "any port": (lambda _: findings.port(0, 40001), "ok", "any can be used", ""),
    "port in use": (lambda _: findings.port(6443, 6444), "warning", "6443 is in use", "6444"),
    "nothing left over": (lambda _: findings.leftovers([]), "ok", "none", ""),
    "left over": (lambda _: findings.leftovers(["a", "b"]), "warning", "2 helper", "--fix"),
    "files": (lambda _: limits.open_files(1024, 524288), "ok", "1024, at most 524288", ""),
    "files without limit": (
        lambda _: limits.open_files(1024, resource.RLIM_INFINITY),
        "ok",
        "any number",
        "",
    ),
    "few files": (
        lambda _: limits.open_files(1024, 4096),
        "warning",
        "at most 4096",
        "limits.conf",
    ),
    "inotify": (lambda _: limits.inotify("max_user_watches", 524288, 524288), "ok", "524288", ""),
    "little inotify": (
        lambda _: limits.inotify("max_user_watches", 8192, 524288),
        "warning",
        "8192",
        "sysctl -w fs.inotify.max",
    ),
    "reached": (lambda _: findings.source("downloads", answers=True), "ok", "reached", ""),
    "no downloads": (
        lambda _: findings.source("downloads", answers=False),
        "warning",
        "not reached",
        "Go modules and Debian's",
    ),
    "no K3s": (
        lambda _: findings.source("K3s release", answers=False),
        "warning",
        "not reached",
        "k3s_binary",
    ),
    "tools": (lambda _: findings.tools([], apt=True), "ok", "debootstrap and go", ""),
    "no Go": (lambda _: findings.tools(["go"], apt=False), "ok", "installed when needed", ""),
    "no debootstrap": (
        lambda _: findings.tools(["debootstrap", "go"], apt=True),
        "warning",
        "not here: debootstrap;",
        "apt-get install debootstrap",
    ),
    "no debootstrap, no apt": (
        lambda _: findings.tools(["debootstrap"], apt=False),
        "warning",
        "not here: debootstrap;",
        "install them",
    ),
    "no debootstrap needed": (
        lambda _: findings.tools(["debootstrap"], apt=True, needed=False),
        "ok",
        "not needed",
        "",
    ),
    "kernel": (lambda _: limits.kernel(dict.fromkeys(FEATURES, "there")), "ok", "vxlan", ""),
    "modules": (
        lambda _: limits.kernel({"vxlan": "loadable", "br_netfilter": "there"}),
        "ok",
        "vxlan",
        "",
    ),
    "bridge": (lambda _: limits.bridge("there"), "ok", "bridged packets", ""),
    "no bridge": (lambda _: limits.bridge("loadable"), "warning", "not loaded", "modprobe br_"),
    "bridge unknown": (lambda _: limits.bridge("unknown"), "warning", "not loaded", "modules-load"),
    "kernel unknown": (
        lambda _: limits.kernel(dict.fromkeys(("veth", "vxlan"), "unknown")),
        "warning",
        "veth",
        "-a veth vxlan",
    ),
    "kernel lacks": (
        lambda _: limits.kernel({"vxlan": "lacking", "veth": "unknown"}),
        "failed",
        "lacks vxlan",
        "kernel",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_facts_are_judged(topology: Topology, case: str) -> None:
    judge, state, detail, remedy = CASES[case]
    finding = judge(topology)
    assert finding.state == state
    assert detail in finding.seen
    assert remedy in finding.remedy
    assert bool(finding.remedy) == (state != "ok"), (
        "whatever is not well has a remedy, and nothing else has"
    )


STARTS = [(NOT_THERE, True, True), (NOT_THERE, False, False), (REFUSED, True, False)]


@pytest.mark.parametrize(("error", "startable", "fixable"), STARTS)
def test_an_engine_that_refuses_the_user_is_not_started_again(
    error: LabError, *, startable: bool, fixable: bool
) -> None:
    assert findings.no_engine(error, startable=startable).fixable is fixable


def test_a_subnet_in_use_is_told_with_a_free_one() -> None:
    subnet = IPv4Network("172.30.0.0/24")
    assert (
        findings.subnet(
            "subnet", subnet, {IPv4Network("172.17.0.0/16"): "Docker network bridge"}
        ).state
        == "ok"
    )
    finding = findings.subnet(
        "subnet", subnet, {IPv4Network("172.30.0.0/16"): "the host's route by tun0"}
    )
    assert (finding.state, finding.seen) == (
        "failed",
        "172.30.0.0/24 meets 172.30.0.0/16 (the host's route by tun0)",
    )
    assert "free is 172.28.0.0/24: --set network.subnet=172.28.0.0/24" in finding.remedy


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("vxlan", {"sys/module/vxlan/refcnt": "1"}, "there"),
        ("overlay", {"proc/filesystems": "nodev\ttmpfs\nnodev\toverlay\n"}, "there"),
        ("br_netfilter", {"proc/sys/net/bridge/bridge-nf-call-iptables": "1"}, "there"),
        ("br_netfilter", {"sys/module/br_netfilter/refcnt": "0"}, "there"),
        ("br_netfilter", {"lib/modules/6.1/modules.dep": "net/br_netfilter.ko.xz:\n"}, "loadable"),
        ("veth", {"lib/modules/6.1/modules.builtin": "kernel/drivers/net/veth.ko\n"}, "there"),
        ("veth", {"proc/config.gz": "CONFIG_VETH=y\n"}, "there"),
        ("nf_tables", {"boot/config-6.1": "CONFIG_NF_TABLES=y\n"}, "there"),
        (
            "vxlan",
            {"lib/modules/6.1/modules.dep": "kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/x.ko\n"},
            "loadable",
        ),
        (
            "vxlan",
            {
                "lib/modules/6.1/modules.dep": "kernel/a.ko:\n",
                "boot/config-6.1": "CONFIG_VXLAN=m\n",
            },
            "lacking",
        ),
        (
            "bridge",
            {"boot/config-6.1": "# CONFIG_BRIDGE is not set\nCONFIG_BRIDGE_NETFILTER=y\n"},
            "lacking",
        ),
        ("vxlan", {"boot/config-6.1": "CONFIG_VXLAN=m\n"}, "unknown"),
        ("vxlan", {"boot/config-5.0": "CONFIG_VXLAN=y\n"}, "unknown"),
        ("vxlan", {}, "unknown"),
    ],
)
def test_kernel_features_are_found_without_loading(
    tmp_path: Path, name: str, files: dict[str, str], expected: str
) -> None:
    write(tmp_path, files)
    assert kernel.feature(name, tmp_path, "6.1") == expected


def test_a_healthy_machine_is_examined(machine: Machine) -> None:
    results = by_name(doctor.examine())
    names = "engine cgroups privilege memory disk subnet port left-overs kernel downloads".split()
    assert {*names, "open files", "K3s release", "build tools"} <= set(results)
    assert {
        results[name].state
        for name in ("engine", "cgroups", "memory", "subnet", "port", "left-overs", "downloads")
    } == {"ok"}
    assert results["privilege"].state == "warning"


def test_a_machine_without_an_engine_is_a_finding(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "connect", refuse(NOT_THERE))
    monkeypatch.setattr(
        network, "free_port", refuse(InputError("no free port on 127.0.0.1", "set another"))
    )
    results = by_name(doctor.examine())
    assert results["engine"].state == "failed"
    assert "no free port" in results["port"].seen
    assert {"kernel", "open files", "build tools"} <= set(results)


def test_what_cannot_be_looked_at_hides_nothing_else(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sick = True
    machine.told = {**INFO, "ApiVersion": "new"}
    monkeypatch.setattr(components, "reachable", refuse(LabError("no resolver")))
    results = by_name(doctor.examine())
    assert (results["left-overs"].state, results["left-overs"].remedy) == ("warning", "restart it")
    assert "could not be looked at: ValueError" in results["engine"].seen
    assert "no resolver" in results["sources"].seen
    assert results["subnet"].state == "ok"


@pytest.mark.parametrize("sign", ["desktop", "remote"])
def test_an_engine_elsewhere_is_not_judged_by_this_machine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, sign: str
) -> None:
    machine.local = False
    if sign == "desktop":
        machine.told = DESKTOP
    results = by_name(doctor.examine())
    assert not {"disk", "kernel", "open files", "inotify"} & set(results)
    assert "16.0 GiB free" in results["memory"].seen
    assert ("addresses" in results) == (sign == "desktop")


def test_an_engine_that_cannot_give_what_nodes_need_fails(machine: Machine) -> None:
    assert "rights" not in by_name(doctor.examine())
    machine.told = {**INFO, "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}
    rights = by_name(doctor.examine())["rights"]
    assert (rights.state, rights.fixable) == ("failed", False)
    assert "rootless" in rights.seen
    assert rights.remedy


def test_a_lab_does_not_collide_with_itself(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, topology: Topology
) -> None:
    own, port = str(topology.network.subnet), topology.loadbalancer.host_port
    machine.networks, machine.port = {own: f"halab-{topology.name}"}, port
    monkeypatch.setattr(network, "routes", lambda: {topology.network.subnet: "br-1"})
    monkeypatch.setattr(network, "free_port", lambda first: first + 1)
    results = by_name(doctor.examine(topology))
    assert (results["subnet"].state, results["port"].state) == ("ok", "ok")
    machine.networks[str(IPv4Network((IPv4Address("172.30.0.128"), 25)))] = "another"
    machine.networks["172.29.0.0/16"] = "a third"
    chosen = by_name(doctor.examine(topology))["management"]
    assert (chosen.state, chosen.seen) == ("ok", "172.28.0.0/24 meets no other network")
    named = replace(topology.network, management=IPv4Network("172.29.3.0/24"))
    named = replace(named, management_open=False)
    finding = by_name(doctor.examine(replace(topology, network=named)))["management"]
    assert finding.state == "failed"
    assert by_name(doctor.examine(topology))["subnet"].state == "failed"


def test_the_privilege_is_asked_with_an_image_of_ours(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        machine, "images", lambda: {"halab/node:1": {}, "halab/base:1": {}}, raising=False
    )
    monkeypatch.setattr(fitness, "privileged", lambda _, image: asked.append(image) or True)
    assert by_name(doctor.examine())["privilege"].seen == "--privileged starts"
    assert asked == ["halab/base:1"]


def test_a_young_helper_may_be_in_use(machine: Machine) -> None:
    old, young = 3600, 200
    machine.helpers = Machine((old, young)).helpers
    assert doctor.helpers(machine) == [f"helper{old:012}"]  # type: ignore[arg-type]


# --- fixing ---


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


@pytest.mark.parametrize(("images_here", "reached"), [(True, False), (False, True), (False, False)])
def test_no_build_tool_is_wanted_where_nothing_is_to_be_built(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    topology: Topology,
    *,
    images_here: bool,
    reached: bool,
) -> None:
    known = tags(sources_for(machine))  # type: ignore[arg-type]
    here = (
        {known[image]: {} for image in ("loadbalancer", "bmc", "upstream")} if images_here else {}
    )
    monkeypatch.setattr(machine, "images", lambda: here)
    monkeypatch.setattr(fitness, "privileged", lambda *_: True)
    monkeypatch.setattr(components, "reachable", lambda _: reached)
    monkeypatch.setattr(doctor, "there", lambda program, _="": program == "apt-get")
    finding = by_name(doctor.examine(topology))["build tools"]
    assert finding.fixable == (not images_here and not reached)
    assert finding.state == ("warning" if finding.fixable else "ok")


@pytest.mark.parametrize(
    ("built", "k3s", "name"),
    [
        ((), True, "k3s"),
        ((), False, "upstream"),
        (("upstream",), True, "upstream"),
        (("k3s",), False, "k3s"),
    ],
)
def test_the_disk_is_judged_for_the_distribution_that_a_lab_would_get(
    topology: Topology, built: tuple[str, ...], name: str, *, k3s: bool
) -> None:
    assert topology.kubernetes.distributions == ("k3s", "upstream")
    assert findings.likely(topology, built, k3s=k3s) == name


def test_a_k3s_of_the_users_needs_no_release(topology: Topology) -> None:
    own = replace(topology, images=replace(topology.images, k3s_binary="/k3s"))
    assert findings.likely(own, (), k3s=False) == "k3s"


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


EGRESS, CLSACT = "CONFIG_NETFILTER_EGRESS=y\n", "CONFIG_NET_SCH_INGRESS=m\nCONFIG_NET_CLS_BPF=m\n"


@pytest.mark.parametrize(
    ("text", "release", "state", "detail"),
    [
        (EGRESS, "6.1.0", "ok", "by nft"),
        ("", "5.16.0", "ok", "by nft"),
        ("", "5.15.167.4-microsoft-standard-WSL2", "ok", "by tc, if"),
        (CLSACT, "5.15.0-91-generic", "ok", "by tc, as"),
        (CLSACT + "# CONFIG_NETFILTER_EGRESS is not set\n", "6.1.0", "ok", "by tc, as"),
        ("CONFIG_NET_SCH_INGRESS=m\n", "5.10.0", "warning", "no wires"),
    ],
)
def test_how_wires_are_cut_is_told(text: str, release: str, state: str, detail: str) -> None:
    judged = wire.judged(text, release)
    assert judged[0] == state
    assert detail in judged[1]
    assert bool(judged[2]) == (state == "warning" or "if" in detail)


def test_the_kernels_configuration_is_read_where_it_is(tmp_path: Path) -> None:
    assert wire.config(tmp_path, "6.1") == ""
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/config-6.1").write_text(CLSACT)
    assert wire.config(tmp_path, "6.1") == CLSACT
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(EGRESS.encode()))
    assert wire.config(tmp_path, "6.1") == EGRESS
