from __future__ import annotations

from dataclasses import replace

from faultdoubles import TOPOLOGY, FaultEngine, hit, site

from lab.chaos.faults import resources
from lab.engine.commands import Result
from lab.topology.model import MachineSize


def test_memory_reads_both_kinds_of_cgroups() -> None:
    one = "1000\ntotal_inactive_file 300\n"
    two = "2000\ninactive_file 500\n"
    for text, used in ((one, 700), (two, 1500), ("", 0)):
        assert (
            resources.Memory()._used(site(engine=FaultEngine({"memory.current": Result(0, text)})))
            == used
        )


class LimitedEngine(FaultEngine):
    """An engine on 8 GiB whose node m has a limit of memory; `limits` are those that were set."""

    def __init__(self, memory: int) -> None:
        super().__init__({"memory.current": Result(0, str(100 * resources.MIB))})
        self.about["MemTotal"] = 8 * 1024 * resources.MIB
        self.containers["halab-x-m"].host = {"Memory": memory, "MemorySwap": memory}
        self.limits: list[dict[str, int]] = []

    def limit(self, container: str, **limits: int) -> None:
        assert container == "halab-x-m"
        self.limits.append(limits)


def test_memory_stays_within_a_nodes_own_limit_and_restores_it() -> None:
    own = 512 * resources.MIB
    node = replace(TOPOLOGY.node("m"), size=MachineSize(memory=own))
    limited = replace(TOPOLOGY, nodes=(node, *TOPOLOGY.nodes[1:]))
    engine, fault, options = LimitedEngine(own), resources.Memory(), {"spare": "999m"}
    place = site(engine=engine, topology=limited)
    assert fault.check(place, options) == ""
    active = hit("memory", fault.prepare(place, options), **options)
    fault.inject(place, active)
    fault.heal(place, active)
    assert engine.limits == [{"mem_limit": own, "memswap_limit": own}] * 2
    # Another limit than its own is a fault's.
    assert "has such a fault already" in fault.check(site(engine=engine), options)
