"""Cut wires of real machines, by each of the two means: what is dropped, and that nothing stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.chaos import faults, wire
from lab.chaos.fault import STARTED, FaultSite
from lab.live.active_faults import ActiveFault
from lab.nodes.handles import handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Ground
    from machines import Machine

    Make = Callable[..., Machine]

LAB = "docker-wire"
WEB = "busybox httpd -p {port} -h /etc"


class Trio:
    """Two masters and a worker as a fault sees them; m2 holds the VIP."""

    def __init__(self, ground: Ground, machine: Make) -> None:
        nodes = tuple(node for node in ground.topology.nodes if node.name in {"m", "m2", "w1"})
        self.topology = replace(ground.topology, name=LAB, nodes=nodes)
        self.vip = str(self.topology.network.vip)
        self.ip = {node.name: str(node.ip) for node in nodes}
        self.machines, handles = {}, {}
        for node in nodes:
            made = machine("node", network=ground.network, ip=str(node.ip), name=node.name)
            handles[node.name] = handle(ground.engine, LAB, node)
            made.get_wrapped_container().rename(handles[node.name].container)
            self.machines[node.name] = made
        own = handles.pop("m")
        self.site = FaultSite(ground.engine, self.topology, "upstream", own, handles, ("m",))
        self.machines["m2"].run("ip", "addr", "add", f"{self.vip}/32", "dev", "eth0")
        for port in (6443, 8080):
            self.machines["m2"].run("sh", "-c", WEB.format(port=port))

    def reaches(self, asker: str, where: str) -> bool:
        return self.machines[asker].run("ping", "-n", "-c", "1", "-W", "1", where)[0] == 0

    def asks(self, port: int) -> bool:
        url = f"http://{self.ip['m2']}:{port}/hostname"
        return self.machines["m"].run("curl", "-s", "--max-time", "2", url)[0] == 0

    def traces(self) -> str:
        script = "nft list tables; tc qdisc show dev eth0; ip -o link | grep -c ."
        return self.machines["m"].run("sh", "-c", script)[1]

    def inject(self, name: str, **options: str) -> ActiveFault:
        fault = faults.find(name)
        given = {**fault.options, **options}
        assert not fault.missing(self.site)
        assert not fault.check(self.site, given)
        started = self.site.engine.inspect(self.site.node.container)["State"]["StartedAt"]
        before = {STARTED: started, **fault.prepare(self.site, given)}
        hit = ActiveFault(id="00c0ffee", fault=name, node="m", options=given, before=before)
        proof = fault.inject(self.site, hit) or fault.evidence(self.site, hit)
        assert "packets dropped at m" in (proof or ""), proof
        return hit


@pytest.fixture
def trio(ground: Ground, machine: Make) -> Trio:
    return Trio(ground, machine)


@pytest.mark.parametrize("means", ["nft", "tc"])
def test_a_partition_cuts_what_it_says_and_heals(trio: Trio, means: str) -> None:
    before, m, m2, w1 = trio.traces(), *(trio.ip[name] for name in ("m", "m2", "w1"))
    assert trio.reaches("m", m2)
    hit = trio.inject("partition", **{"from": "m2", "means": means})
    assert hit.before["means"] == means
    assert not trio.reaches("m", m2)
    assert not trio.reaches("m2", m)
    assert trio.reaches("m", w1)
    assert not trio.reaches("m", trio.vip)
    assert trio.reaches("w1", trio.vip)
    # As a machine that boots later has on Docker 28: another wire, and the VIP on it.
    trio.machines["m2"].run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
    trio.machines["m"].run("ip", "neigh", "flush", "dev", "eth0")
    assert not trio.reaches("m", trio.vip)
    assert not trio.reaches("m", m2)
    again = faults.find("partition").check(trio.site, {**hit.options, "from": "w1"})
    assert ("heal that first" in again) is (means == "tc")
    for _ in range(2):
        faults.find("partition").heal(trio.site, hit)
    assert trio.reaches("m", m2)
    assert trio.reaches("m", trio.vip)
    assert trio.traces() == before


@pytest.mark.parametrize("means", ["nft", "tc"])
def test_a_port_one_way_and_a_whole_device(trio: Trio, means: str) -> None:
    before = trio.traces()
    assert trio.asks(6443)
    fault = faults.find("partition")
    options = {"from": "m2", "port": "api", "way": "in", "means": means}
    given = {**fault.options, **options}
    asked = {STARTED: "", **fault.prepare(trio.site, given)}
    hit = ActiveFault(id="00c0ffee", fault="partition", node="m", options=given, before=asked)
    fault.inject(trio.site, hit)
    assert not trio.asks(6443)
    assert "packets dropped" in fault.evidence(trio.site, hit)
    assert trio.asks(8080)
    assert trio.reaches("m", trio.ip["m2"])
    wire.remove(trio.site, "halab_00c0ffee")
    assert trio.asks(6443)
    assert trio.traces() == before


@pytest.mark.parametrize("means", ["nft", "tc"])
def test_silence_is_lifted(trio: Trio, means: str) -> None:
    before = trio.traces()
    cut = trio.inject("partition", **{"from": "w1", "means": means})
    wire.silence(trio.site, means)
    for other in ("m2", "w1"):
        assert not trio.reaches("m", trio.ip[other])
        assert not trio.reaches(other, trio.ip["m"])
    for _ in range(2):
        wire.lift(trio.site)
    assert trio.reaches("m", trio.ip["m2"])
    assert not trio.reaches("m", trio.ip["w1"]), "what the partition drops stays"
    faults.find("partition").heal(trio.site, cut)
    assert trio.traces() == before


def test_what_is_tried_leaves_nothing(trio: Trio) -> None:
    before = trio.traces()
    assert (wire.nft_missing(trio.site), wire.tc_missing(trio.site)) == ("", "")
    assert trio.traces() == before
    trio.machines["m"].run("sh", "-c", "printf '#!/bin/sh\nexit 1\n' > /usr/local/sbin/nft")
    trio.machines["m"].run("chmod", "755", "/usr/local/sbin/nft")
    assert "Linux 5.16" in wire.nft_missing(trio.site)
    assert wire.chosen(trio.site, "auto") == "tc"
    assert wire.missing(trio.site) == ""
