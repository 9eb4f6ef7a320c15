from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

from rendered import UPSTREAM

from lab.nodes.ha import cib

if TYPE_CHECKING:
    from lab.topology.model import Topology


def test_the_cib_is_consistent(topology: Topology) -> None:
    root = ET.fromstring(cib.cib(topology, UPSTREAM.health, "secret"))  # noqa: S314 (our own text)
    ids = [item.attrib["id"] for item in root.iter() if "id" in item.attrib]
    assert len(ids) == len(set(ids))
    location = root.find(".//rsc_location")
    assert location is not None
    assert location.attrib["rsc"] in {item.attrib["id"] for item in root.iter("primitive")}
    values = {item.attrib["id"]: item.attrib["value"] for item in root.iter("nvpair")}
    assert (values["vip-ip"], values["vip-cidr_netmask"]) == ("172.30.0.50", "32")
    rules = {rule.attrib["id"]: rule for rule in root.iter("rule")}
    judged = {
        name: (rule.attrib["score"], [item.get("value") for item in rule.iter("expression")])
        for name, rule in rules.items()
    }
    assert judged == {"vip-rule": ("-INFINITY", [None, "0"]), "vip-prompt-rule": ("1000", ["1"])}
    # A prompt master draws the address away from a late one, but not from another prompt one.
    assert 0 < int(values["rsc-resource-stickiness"]) < 1000
    orders = {
        (item.attrib["first"], item.attrib["then"], item.attrib["kind"])
        for item in root.iter("rsc_order")
    }
    assert orders == {("FAILOVER-ADDR", f"fence-{name}", "Optional") for name in ("m", "m2", "m3")}


def test_one_slow_answer_of_a_resource_moves_nothing(topology: Topology) -> None:
    root = ET.fromstring(cib.cib(topology, UPSTREAM.health, "secret"))  # noqa: S314 (our own text)
    values = {item.attrib["id"]: item.attrib["value"] for item in root.iter("nvpair")}
    operations = {item.attrib["id"]: item.attrib for item in root.iter("op")}
    forgotten = int(values["rsc-failure-timeout"].rstrip("s"))
    for resource in ("vip", "health"):
        for name in ("start", "stop", "monitor"):
            limit = int(operations[f"{resource}-{name}"]["timeout"].rstrip("s"))
            assert 10 < limit < forgotten
    # An address that is gone is found as soon as before.
    assert operations["vip-monitor"]["interval"] == "5s"


def test_a_lone_master_waits_for_no_other(topology: Topology) -> None:
    for masters, waits in ((3, "2s"), (1, "100ms")):
        few = replace(topology, nodes=topology.masters[:masters])
        root = ET.fromstring(cib.cib(few, UPSTREAM.health, "secret"))  # noqa: S314 (our own text)
        values = {item.attrib["name"]: item.attrib["value"] for item in root.iter("nvpair")}
        assert values["dc-deadtime"] == waits
