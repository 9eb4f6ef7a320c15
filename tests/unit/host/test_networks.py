"""A lab's networks: which are free, which one is chosen and kept, and what a refusal says."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from fake_engine import FakeEngine, FakeNetwork
from filelock import FileLock

from lab.base.errors import InputError, SubnetTaken, TopologyError
from lab.base.progress import Silent
from lab.engine.spec import NetworkSpec, Observed, ObservedContainer
from lab.host import network
from lab.lifecycle import desired_state, networks, plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action
from lab.nodes import distributions
from lab.topology.loader import load, parse
from lab.topology.model import Topology, from_json, management_of, to_json

SHIPPED = Path(__file__).parents[3] / "topologies"
TAGS = {
    "upstream": "halab/upstream:1",
    "loadbalancer": "halab/loadbalancer:1",
    "bmc": "halab/bmc:1",
}


def engine_with(**subnets: str) -> FakeEngine:
    """Return an engine that holds these networks, which are no lab's."""
    engine = FakeEngine()
    for name, subnet in subnets.items():
        engine.add_network(name, subnet=subnet)
    return engine


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


def test_begin_gives_another_management_network_when_two_labs_would_meet(
    topology: Topology,
) -> None:
    engine = engine_with()
    assert management(begin(engine, topology)) == "172.29.0.0/24"
    beside = begin(engine, other("10.9.0.0/24"))
    assert management(beside) not in {"172.29.0.0/24", ""}
    assert set(engine.networks) == {
        f"halab-{lab}{end}" for lab in ("3m3w", "other") for end in ("", "-management")
    }


def test_plan_is_empty_with_the_same_fingerprints_when_a_lab_starts_again(
    topology: Topology,
) -> None:
    engine = engine_with(taken="172.29.0.0/24")
    first = begin(engine, topology)
    made = desired_state.desired(first, distributions.find("upstream"), TAGS, 0)
    engine.remove_network("taken")  # what was in the way is gone: the lab keeps what it has
    again = network.settled(topology, engine, engine.observe("3m3w"))  # type: ignore[arg-type]
    assert desired_state.desired(again, distributions.find("upstream"), TAGS, 0) == made
    assert plan.start(made, engine.observe("3m3w")).of(Action.CREATE_NETWORK) == ()
    kept = from_json(engine.networks["halab-3m3w"].labels["halab.topology"])
    assert kept.network.management == first.network.management
    assert kept == first


def test_settled_keeps_network_and_fingerprints_when_an_older_halab_made_the_lab(
    topology: Topology,
) -> None:
    old = replace(
        topology, network=replace(topology.network, management=IPv4Network("172.31.0.0/24"))
    )
    label = json.loads(to_json(old))
    assert "management_open" not in label["network"]  # it would change fingerprints
    seen = Observed(
        lab="3m3w", networks=("halab-3m3w", "halab-3m3w-management"), topology=json.dumps(label)
    )
    now = network.settled(topology, engine_with(), seen)  # type: ignore[arg-type]
    assert desired_state.configuration(now) == desired_state.configuration(
        from_json(json.dumps(label))
    )
    assert management(now) == "172.31.0.0/24"


def test_begin_keeps_the_management_network_when_the_lab_was_only_begun(topology: Topology) -> None:
    engine = engine_with(taken="172.29.0.0/24")
    begin(engine, topology)
    engine.remove_network("halab-3m3w")
    engine.remove_network("taken")
    got = engine.networks["halab-3m3w-management"].subnet
    assert management(begin(engine, topology)) == got
    assert got in engine.networks["halab-3m3w"].labels["halab.topology"]


def test_settled_finds_the_old_network_when_a_stopped_labs_were_pruned(topology: Topology) -> None:
    class Pruned(FakeEngine):
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


def test_begin_takes_the_next_network_when_the_engine_refused_one(topology: Topology) -> None:
    class Hiding(FakeEngine):
        def subnets(self) -> dict[str, str]:
            return {}

    engine = Hiding()
    engine.add_network("hidden", subnet="172.29.0.0/23")
    assert management(begin(engine, topology)) == "172.29.2.0/24"


def test_begin_gives_one_network_each_when_labs_begin_at_once(topology: Topology) -> None:
    engine, looked = FakeEngine(), threading.Barrier(3)
    seen = engine.subnets()

    class Late(FakeEngine):
        """All three look before one of them has made anything."""

        def __init__(self) -> None:
            super().__init__(networks=engine.networks, _lock=engine._lock)
            self.first = True

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
    assert len([name for name in engine.networks if name.endswith("-management")]) == 3
    assert len(engine.networks) == 6


class SharedEngine(FakeEngine):
    """An engine of several processes: its networks are files, made in one move.

    Between a look and an answer it takes its time, as an engine does.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.refusals = folder, 0

    def _read(self) -> None:
        for path in self.folder.glob("*.json"):
            row = json.loads(path.read_text())
            self.networks[path.stem] = FakeNetwork(row["labels"], row["subnet"])

    def subnets(self) -> dict[str, str]:
        self._read()
        found = super().subnets()
        time.sleep(0.05)
        return found

    def create_network(self, spec: NetworkSpec, labels: dict[str, str]) -> None:
        with FileLock(self.folder / "engine.lock"):
            self._read()
            try:
                super().create_network(spec, labels)
            except SubnetTaken:
                self.refusals += 1
                raise
            row = {"labels": {**spec.labels, **labels}, "subnet": spec.subnet}
            part = self.folder / f"{spec.name}.part"
            part.write_text(json.dumps(row))
            part.rename(self.folder / f"{spec.name}.json")


def begin_at_once(folder: Path, number: int, ready: Any, answers: Any) -> None:
    """Be one of several processes: look together, then choose."""
    topology = load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",), f"lab{number}").topology
    engine = SharedEngine(folder)
    ready.wait(60)
    answers.put((str(begin(engine, topology).network.subnet), engine.refusals))


# Python warns of the thread that pytest-xdist has in each worker. No child ever speaks with it.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_ten_processes_that_start_at_once_get_networks_of_their_own(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    ready, answers = fork.Barrier(10), fork.Queue()
    processes = [
        fork.Process(target=begin_at_once, args=(tmp_path, number, ready, answers))
        for number in range(10)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({subnet for subnet, _ in found}) == 10
    made = [json.loads(path.read_text())["subnet"] for path in tmp_path.glob("*.json")]
    assert len(made) == len(set(made)) == 20
    # The engine would have refused, but they took turns.
    assert [refusals for _, refusals in found] == [0] * 10


def test_a_subnet_that_is_left_open_is_the_files_or_another_of_its_size() -> None:
    engine = engine_with()
    opened = load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",), "one").topology
    assert str(begin(engine, opened).network.subnet) == "172.30.1.0/24"
    other_lab = load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",), "two").topology
    second = begin(engine, other_lab)
    assert str(second.network.subnet) == "172.30.0.0/24"
    assert [str(node.ip) for node in second.machines] == [f"172.30.0.{end}" for end in (49, 41, 40)]
    assert (str(second.network.vip), str(second.network.gateway)) == ("172.30.0.50", "172.30.0.1")
    # It keeps what it has, though the file's is free now.
    engine.remove_network("halab-one")
    again = load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",), "two").topology
    assert begin(engine, again) == second


def test_a_subnet_that_is_left_open_is_chosen_again_when_the_engine_refuses() -> None:
    class Hiding(FakeEngine):
        def subnets(self) -> dict[str, str]:
            return {net: name for net, name in super().subnets().items() if name != "hidden"}

    engine = Hiding()
    engine.add_network("hidden", subnet="172.30.0.0/23")
    opened = load(SHIPPED / "1m1w.yaml", ("network.subnet=auto",), "one").topology
    assert str(begin(engine, opened).network.subnet) == "172.30.2.0/24"


def test_a_file_whose_subnet_is_auto_has_no_place_for_its_addresses() -> None:
    text = (SHIPPED / "1m1w.yaml").read_text().replace("172.30.1.0/24", "auto")
    with pytest.raises(TopologyError, match=r"`network\.subnet` is `auto`, but the other"):
        parse(text, "f.yaml")


def test_make_leaves_nothing_when_the_subnet_is_lost_at_the_last_moment(topology: Topology) -> None:
    engine = engine_with()
    settled = network.settled(topology, engine, engine.observe("3m3w"))  # type: ignore[arg-type]
    wanted = desired_state.desired(settled, distributions.find("upstream"), TAGS, 0)
    engine.add_network("halab-quick", subnet="172.30.0.0/24")
    with pytest.raises(InputError, match="Docker network halab-quick") as caught:
        networks.make(
            settled,
            "upstream",
            plan.start(wanted, Observed(lab="3m3w")),
            Applier(engine, Silent(), "run"),
        )  # type: ignore[arg-type]
    assert "--set network.subnet=172.30.1.0/24" in caught.value.hint
    assert set(engine.networks) == {"halab-quick"}


def test_begin_refuses_when_the_named_management_network_is_taken() -> None:
    named = load(SHIPPED / "3m3w.yaml", ("network.management=172.29.7.0/24",)).topology
    engine = engine_with(vpn="172.29.0.0/16")
    with pytest.raises(InputError, match=r"network\.management 172\.29\.7\.0/24 meets") as caught:
        begin(engine, named)
    assert "--set network.management=" in caught.value.hint
    assert set(engine.networks) == {"vpn"}


def test_the_flag_that_a_refusal_names_makes_the_lab_start(topology: Topology) -> None:
    engine = engine_with()
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


def test_begin_refuses_when_another_lab_has_a_network_of_that_name(topology: Topology) -> None:
    engine = engine_with()
    begin(engine, replace(other("10.9.0.0/24"), name="3m3w-management"))
    with pytest.raises(InputError, match="halab-3m3w-management exists that is not lab 3m3w's"):
        begin(engine, topology)


def test_the_hosts_name_servers_and_awss_network_are_left_alone(
    topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# comment\nsearch x\nnameserver 172.29.0.2\nnameserver fe80::1\nnameserver\n")
    monkeypatch.setattr(network, "RESOLVERS", (tmp_path / "none", file))
    chosen = begin(engine_with(), topology).network.management
    assert str(chosen) == "172.29.1.0/24"
    file.write_text("nameserver 172.30.0.2")
    with pytest.raises(InputError, match=r"meets 172\.30\.0\.2/32 \(the host's name server\)"):
        begin(engine_with(), topology)
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
