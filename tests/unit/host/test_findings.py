from __future__ import annotations

import resource
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from doctored import DESKTOP, INFO, NOT_THERE

from lab.base.kernel import FEATURES
from lab.host import findings, limits

if TYPE_CHECKING:
    from lab.topology.model import Topology


@pytest.mark.parametrize(("api", "state"), [("1.40", "failed"), ("1.41", "ok"), ("1.50", "ok")])
def test_old_engines_are_refused(api: str, state: str) -> None:
    assert findings.version({"ApiVersion": api, "ServerVersion": "x"}).state == state


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
