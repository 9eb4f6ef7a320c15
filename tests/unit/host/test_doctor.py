"""doctor: each fact is judged by a pure function; what is fixed is recorded by a double.

No engine, no command is run.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest
from doctored import DESKTOP, INFO, NOT_THERE, Machine, by_name, refuse

from lab.base.errors import EngineError, InputError, LabError
from lab.engine import client, fitness
from lab.host import doctor, findings, network
from lab.images import components
from lab.images.sources import sources_for, tags

if TYPE_CHECKING:
    from lab.topology.model import Topology


REFUSED = EngineError("Docker refuses this user (permission denied on its socket)", "usermod")


STARTS = [(NOT_THERE, True, True), (NOT_THERE, False, False), (REFUSED, True, False)]


@pytest.mark.parametrize(("error", "startable", "fixable"), STARTS)
def test_an_engine_that_refuses_the_user_is_not_started_again(
    error: LabError, *, startable: bool, fixable: bool
) -> None:
    assert findings.no_engine(error, startable=startable).fixable is fixable


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
