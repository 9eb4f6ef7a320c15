"""Real fencing: a lost master's power is cut before another one takes its address."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from labs import docker

from lab.nodes.ha import crm_mon

if TYPE_CHECKING:
    from labs import Cli, Inside


def holders(inside: Inside) -> list[str]:
    return inside.status()["vip_holders"]


def state(inside: Inside, node: str) -> str:
    return {row["name"]: row["state"] for row in inside.status()["nodes"]}[node]


def members(inside: Inside, node: str) -> frozenset[str]:
    return crm_mon.view(inside.run(node, *crm_mon.ASK)).members


def whole(inside: Inside) -> bool:
    status = inside.status()
    nodes = [row for row in status["nodes"] if row["role"] != "loadbalancer"]
    good = all(
        row["kubernetes"] == "Ready" and row["etcd"] in {"leader", "follower", "-"} for row in nodes
    )
    return good and len(status["vip_holders"]) == 1 and not status["faults"]


def test_every_master_has_a_fencing_device_that_runs_elsewhere(inside: Inside) -> None:
    shown = inside.run("m", "crm_mon", "-1", "--output-as=xml")
    for name in ("m", "m2", "m3"):
        assert f'id="fence-{name}" resource_agent="stonith:fence_ipmilan" role="Started"' in shown
    assert inside.status()["fencing"] is True
    assert inside.status()["bmc"] == "running"


def test_a_hung_master_with_the_vip_is_fenced_and_the_vip_moves(inside: Inside, halab: Cli) -> None:
    holder = holders(inside)[0]
    halab("fault", "inject", inside.lab, "hang", "@vip-holder")
    try:
        inside.eventually("the hung master is shot", lambda: state(inside, holder) == "exited", 60)
        inside.eventually(
            "another one holds the VIP", lambda: holders(inside) not in ([], [holder]), 60
        )
        assert inside.api(inside.vip)
        assert f"{holder}: off" in docker("logs", f"halab-{inside.lab}-bmc")
    finally:
        halab("fault", "heal", inside.lab)
    inside.eventually("the lab is whole again", lambda: whole(inside), 180)


def test_a_master_that_hears_of_its_own_fencing_too_late_is_a_member_again(
    inside: Inside, halab: Cli
) -> None:
    victim, other = (node for node in ("m", "m2", "m3") if node != holders(inside)[0])
    # The word that it was shot, as it comes late to a machine that runs again: its Pacemaker ends,
    # and systemd leaves it so.
    inside.run(other, "stonith_admin", "--confirm", victim)
    inside.eventually(
        "its Pacemaker is down",
        lambda: "inactive" in inside.try_run(victim, "systemctl", "is-active", "pacemaker")[1],
        30,
    )
    assert "told late that the machine had been shot" in halab("start", inside.lab).stderr
    inside.eventually("it is a member again", lambda: victim in members(inside, other), 60)
    inside.run(other, "stonith_admin", "--confirm", victim)
    inside.eventually(
        "its Pacemaker is down",
        lambda: "inactive" in inside.try_run(victim, "systemctl", "is-active", "pacemaker")[1],
        30,
    )
    # Whoever heals a master waits for members, too.
    halab("fault", "inject", inside.lab, "latency", victim)
    assert "told late that the machine had been shot" in halab("fault", "heal", inside.lab).stderr
    assert members(inside, other) == {"m", "m2", "m3"}


def test_power_by_hand_takes_the_same_way(inside: Inside, halab: Cli) -> None:
    assert halab("power", inside.lab, "w3").stdout == "w3: Chassis Power is on\n"
    assert halab.json("power", inside.lab, "w3", "off")["power"] == "off"
    assert state(inside, "w3") == "exited"
    assert halab.json("power", inside.lab, "w3", "on")["power"] == "on"
    assert "no baseboard controller" not in halab("power", inside.lab, "w3").stderr
    assert "these have: m, m2" in halab("power", inside.lab, "lb", code=2).stderr
    halab("start", inside.lab)


def test_the_controllers_are_on_a_network_of_their_own(inside: Inside) -> None:
    networks = {
        name: json.loads(docker("network", "inspect", name))[0]
        for name in (f"halab-{inside.lab}", f"halab-{inside.lab}-management")
    }
    assert networks[f"halab-{inside.lab}-management"]["Internal"] is True
    on = {
        item["Name"].rsplit("-", 1)[1]
        for item in networks[f"halab-{inside.lab}-management"]["Containers"].values()
    }
    assert on == {"bmc", "m", "m2", "m3"}
    assert f"halab-{inside.lab}-bmc" not in {
        item["Name"] for item in networks[f"halab-{inside.lab}"]["Containers"].values()
    }
    assert docker("port", f"halab-{inside.lab}-bmc") == ""
    host = json.loads(docker("inspect", f"halab-{inside.lab}-bmc"))[0]["HostConfig"]
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["ALL"])
    # A master names its interfaces by what they are for, whatever order the engine attached them
    # in.
    made = inside.topology
    address = f"{made.management_ip(made.node('m'))}/{made.network.management.prefixlen}"
    assert address in inside.run("m", "ip", "-4", "-o", "addr", "show", "dev", "mgmt0").split()


def test_without_controllers_nobody_is_fenced_and_status_says_so(
    inside: Inside, halab: Cli
) -> None:
    docker("kill", f"halab-{inside.lab}-bmc")
    try:
        assert "nobody can be fenced" in halab("status", inside.lab).stdout
        assert f"halab start {inside.lab} bmc" in halab("power", inside.lab, "m", code=1).stderr
    finally:
        halab("start", inside.lab, "bmc")
    assert halab("power", inside.lab, "m").stdout == "m: Chassis Power is on\n"


def test_verify_passes_on_a_whole_lab_and_names_what_is_wrong(inside: Inside, halab: Cli) -> None:
    done = halab.json("verify", inside.lab)
    assert done["verdict"] == "pass"
    assert {
        "nodes",
        "pods",
        "etcd members",
        "raft term of m2",
        "VIP",
        "quorum",
        "API by the VIP",
        "DNS from a pod on w2",
    } <= {row["name"] for row in done["checks"]}
    docker("kill", f"halab-{inside.lab}-w2")
    try:
        wrong = [
            row["name"]
            for row in halab.json("verify", inside.lab, code=4)["checks"]
            if not row["ok"]
        ]
        assert "machines" in wrong
        # Kubernetes calls a node not ready after its grace period, and until then a third of all
        # questions go to the replica of DNS that died with it.
        others = {name for name in wrong if not name.startswith("DNS from a pod")}
        assert others <= {"machines", "nodes", "pods"}
    finally:
        halab("start", inside.lab)
