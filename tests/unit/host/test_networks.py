"""A lab's networks: which are free, which one is chosen and kept, and what a refusal says."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.base.errors import InputError, SubnetTaken, TopologyError
from lab.base.progress import Silent
from lab.engine.spec import Observed, ObservedContainer
from lab.host import network
from lab.lifecycle import desired_state, networks, plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action
from lab.nodes import distributions
from lab.topology.loader import load
from lab.topology.model import Topology, from_json, management_of, to_json

if TYPE_CHECKING:
    from lab.engine.spec import NetworkSpec

SHIPPED = Path(__file__).parents[3] / "topologies"
TAGS = {
    "upstream": "halab/upstream:1",
    "loadbalancer": "halab/loadbalancer:1",
    "bmc": "halab/bmc:1",
}


class EngineDouble:
    """A double of the engine that makes networks as Docker does: none that overlaps another."""

    def __init__(self, **others: str) -> None:
        self.made: dict[str, IPv4Network] = {
            name: IPv4Network(text) for name, text in others.items()
        }
        self.specs: dict[str, NetworkSpec] = {}
        self.hidden: list[IPv4Network] = []
        self.lock = threading.Lock()

    def subnets(self) -> dict[str, str]:
        return {str(subnet): name for name, subnet in self.made.items()}

    def observe(self, lab: str) -> Observed:
        mine = {name: spec for name, spec in self.specs.items() if spec.labels["halab.lab"] == lab}
        topology = next((spec.labels.get("halab.topology", "") for spec in mine.values()), "")
        return Observed(lab=lab, networks=tuple(sorted(mine)), topology=topology)

    def create_network(self, spec: NetworkSpec, _: dict[str, str]) -> None:
        subnet = IPv4Network(spec.subnet)
        with self.lock:
            if any(subnet.overlaps(other) for other in (*self.made.values(), *self.hidden)):
                raise SubnetTaken(f"making network {spec.name}: Pool overlaps with other one")
            self.made[spec.name], self.specs[spec.name] = subnet, spec

    def labelled(self, _: str) -> tuple[list[str], list[str], list[str]]:
        return [], [], list(self.specs)

    def remove_network(self, name: str) -> None:
        del self.made[name]
        self.specs.pop(name, None)

    def remove_container(self, name: str) -> None:
        raise AssertionError(name)

    remove_volume = remove_container


@pytest.fixture(autouse=True)
def _plain_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "routes", dict)
    monkeypatch.setattr(network, "RESOLVERS", ())


def begin(engine: Any, topology: Topology) -> Topology:
    """Do what `start` does about networks."""
    observed = engine.observe(topology.name)
    network.check_subnets(topology, engine, observed.networks)
    topology = network.settled(topology, engine, observed)
    wanted = desired_state.desired(topology, distributions.find("upstream"), TAGS, 0)
    steps = plan.start(wanted, observed)
    return networks.make(topology, "upstream", steps, Applier(engine, Silent(), "run"))


def other(subnet: str) -> Topology:
    return load(SHIPPED / "3m3w.yaml", (f"network.subnet={subnet}",), "other").topology


def management(topology: Topology) -> str:
    return str(topology.network.management)


def test_two_labs_whose_management_networks_would_meet_run_side_by_side(topology: Topology) -> None:
    engine = EngineDouble()
    assert management(begin(engine, topology)) == "172.29.0.0/24"
    beside = begin(engine, other("10.9.0.0/24"))
    assert management(beside) not in {"172.29.0.0/24", ""}
    assert set(engine.made) == {
        f"halab-{lab}{end}" for lab in ("3m3w", "other") for end in ("", "-management")
    }


def test_a_second_start_is_an_empty_plan_with_the_same_fingerprints(topology: Topology) -> None:
    engine = EngineDouble(taken="172.29.0.0/24")
    first = begin(engine, topology)
    made = desired_state.desired(first, distributions.find("upstream"), TAGS, 0)
    engine.remove_network("taken")  # what was in the way is gone: the lab keeps what it has
    again = network.settled(topology, engine, engine.observe("3m3w"))  # type: ignore[arg-type]
    assert desired_state.desired(again, distributions.find("upstream"), TAGS, 0) == made
    assert plan.start(made, engine.observe("3m3w")).of(Action.CREATE_NETWORK) == ()
    kept = from_json(engine.specs["halab-3m3w"].labels["halab.topology"])
    assert kept.network.management == first.network.management
    assert kept == first


def test_an_older_halabs_lab_keeps_network_and_fingerprints(topology: Topology) -> None:
    old = replace(
        topology, network=replace(topology.network, management=IPv4Network("172.31.0.0/24"))
    )
    label = json.loads(to_json(old))
    assert "management_open" not in label["network"]  # it would change fingerprints
    seen = Observed(
        lab="3m3w", networks=("halab-3m3w", "halab-3m3w-management"), topology=json.dumps(label)
    )
    now = network.settled(topology, EngineDouble(), seen)  # type: ignore[arg-type]
    assert desired_state.configuration(now) == desired_state.configuration(
        from_json(json.dumps(label))
    )
    assert management(now) == "172.31.0.0/24"


def test_a_lab_that_was_only_begun_keeps_the_network_that_it_got(topology: Topology) -> None:
    engine = EngineDouble(taken="172.29.0.0/24")
    begin(engine, topology)
    engine.remove_network("halab-3m3w")
    engine.remove_network("taken")
    got = str(engine.made["halab-3m3w-management"])
    assert management(begin(engine, topology)) == got
    assert got in engine.specs["halab-3m3w"].labels["halab.topology"]


def test_a_stopped_labs_pruned_networks_are_made_again_as_they_were(topology: Topology) -> None:
    class Pruned(EngineDouble):
        def inspect(self, name: str) -> dict[str, Any]:
            there = {"halab-3m3w-management": {"IPAMConfig": {"IPv4Address": "172.31.0.10"}}}
            return {"NetworkSettings": {"Networks": there if name.endswith("bmc") else {}}}

    names = ("halab-3m3w-w1", "halab-3m3w-bmc")
    nodes = [ObservedContainer(id=name, name=name, state="exited", labels={}) for name in names]
    seen = Observed(lab="3m3w", containers=tuple(nodes))
    engine: Any = Pruned()
    assert management(network.settled(topology, engine, seen)) == "172.31.0.0/24"
    none = Observed(lab="3m3w", containers=tuple(nodes[:1]))
    assert management(network.settled(topology, engine, none)) == "172.29.0.0/24"


def test_what_the_engine_refused_is_not_tried_again(topology: Topology) -> None:
    engine = EngineDouble()
    engine.hidden = [IPv4Network("172.29.0.0/23")]
    assert management(begin(engine, topology)) == "172.29.2.0/24"


def test_labs_begun_at_once_get_one_each(topology: Topology) -> None:
    engine, looked = EngineDouble(), threading.Barrier(3)
    seen = engine.subnets()

    class Late(EngineDouble):
        """All three look before one of them has made anything."""

        def __init__(self) -> None:
            super().__init__()
            self.made, self.specs, self.lock, self.first = (
                engine.made,
                engine.specs,
                engine.lock,
                True,
            )

        def subnets(self) -> dict[str, str]:
            if self.first:
                self.first = False
                looked.wait(30)
                return seen
            return super().subnets()

    labs = [replace(topology, name=f"lab{number}") for number in range(3)]
    labs = [
        replace(lab, network=replace(lab.network, subnet=IPv4Network(f"10.{number}.0.0/24")))
        for number, lab in enumerate(labs)
    ]
    threads = [threading.Thread(target=begin, args=(Late(), lab)) for lab in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([name for name in engine.made if name.endswith("-management")]) == 3
    assert len(engine.made) == 6


def test_a_subnet_lost_to_another_lab_at_the_last_moment_leaves_nothing(topology: Topology) -> None:
    engine = EngineDouble()
    settled = network.settled(topology, engine, engine.observe("3m3w"))  # type: ignore[arg-type]
    wanted = desired_state.desired(settled, distributions.find("upstream"), TAGS, 0)
    engine.made["halab-quick"] = IPv4Network("172.30.0.0/24")
    with pytest.raises(InputError, match="Docker network halab-quick") as caught:
        networks.make(
            settled,
            "upstream",
            plan.start(wanted, Observed(lab="3m3w")),
            Applier(engine, Silent(), "run"),
        )  # type: ignore[arg-type]
    assert "--set network.subnet=172.30.1.0/24" in caught.value.hint
    assert set(engine.made) == {"halab-quick"}


def test_a_named_management_network_is_never_another_one() -> None:
    named = load(SHIPPED / "3m3w.yaml", ("network.management=172.29.7.0/24",)).topology
    engine = EngineDouble(vpn="172.29.0.0/16")
    with pytest.raises(InputError, match=r"network\.management 172\.29\.7\.0/24 meets") as caught:
        begin(engine, named)
    assert "--set network.management=" in caught.value.hint
    assert set(engine.made) == {"vpn"}


def test_the_flag_that_a_refusal_names_makes_the_lab_start(topology: Topology) -> None:
    engine = EngineDouble()
    begin(engine, topology)
    with pytest.raises(InputError, match="Docker network halab-3m3w") as caught:
        begin(engine, load(SHIPPED / "3m3w.yaml", (), "other").topology)
    flag = caught.value.hint.partition("--set ")[2].partition(",")[0]
    assert flag == "network.subnet=172.30.1.0/24"
    beside = begin(engine, load(SHIPPED / "3m3w.yaml", (flag,), "other").topology)
    assert [str(node.ip) for node in beside.machines] == [
        f"172.30.1.{end}" for end in (49, 48, 47, 41, 42, 43, 40)
    ]
    assert (str(beside.network.vip), str(beside.network.gateway)) == ("172.30.1.50", "172.30.1.1")


def test_only_the_files_own_addresses_go_along() -> None:
    sets = ("network.subnet=10.7.0.0/16", "nodes.w1.ip=10.7.9.9", "network.pool=10.7.8.0/24")
    moved = load(SHIPPED / "3m3w.yaml", sets).topology
    assert str(moved.node("w1").ip) == "10.7.9.9"
    assert str(moved.network.pool) == "10.7.8.0/24"
    assert str(moved.node("w2").ip) == "10.7.0.42"
    with pytest.raises(
        TopologyError, match=r"172\.30\.0\.49 is outside `network\.subnet` 10\.7\.0\.0/28"
    ):
        load(SHIPPED / "3m3w.yaml", ("network.subnet=10.7.0.0/28",))


def test_a_network_of_that_name_that_is_another_labs_is_refused(topology: Topology) -> None:
    engine = EngineDouble()
    begin(engine, replace(other("10.9.0.0/24"), name="3m3w-management"))
    with pytest.raises(InputError, match="halab-3m3w-management exists that is not lab 3m3w's"):
        begin(engine, topology)


def test_the_hosts_name_servers_and_awss_network_are_left_alone(
    topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nsearch x\nnameserver 172.29.0.2\nnameserver fe80::1\nnameserver\n")
    monkeypatch.setattr(network, "RESOLVERS", (tmp_path / "none", file))
    chosen = begin(EngineDouble(), topology).network.management
    assert str(chosen) == "172.29.1.0/24"
    file.write_text("nameserver 172.30.0.2")
    with pytest.raises(InputError, match=r"meets 172\.30\.0\.2/32 \(the host's name server\)"):
        begin(EngineDouble(), topology)
    assert not IPv4Network("172.31.0.0/16").overlaps(chosen)


def test_a_management_network_meets_nothing_of_its_own_lab() -> None:
    made = load(
        SHIPPED / "3m3w.yaml", ("kubernetes.pod_cidr=172.16.0.0/12", "network.subnet=10.1.2.0/24")
    ).topology
    assert management(made) == "10.29.0.0/24"
    with pytest.raises(LookupError):
        management_of(
            IPv4Network("192.168.0.0/16"), IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12")
        )
