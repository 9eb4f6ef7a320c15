from __future__ import annotations

from faultdoubles import FaultEngine, hit, site

from lab.chaos import faults
from lab.engine.commands import Result


def test_an_interface_comes_back_with_the_routes_that_the_kernel_drops() -> None:
    up = (
        "eth0@if9  UP  02:42:ac:1e:00:31 <BROADCAST,MULTICAST,UP,LOWER_UP>\n"
        "default via 172.30.0.1 linkdown\n"
        "172.30.0.0/24 proto kernel scope link src 172.30.0.49\n"
        "10.42.1.0/24 via 172.30.0.41 onlink\n"
    )
    engine = FaultEngine({"ip -br link": Result(0, up)})
    place, fault = site(engine=engine), faults.find("nic-down")
    assert fault.check(place, fault.options) == ""
    before = fault.prepare(place, fault.options)
    assert before == {"routes": "default via 172.30.0.1\n10.42.1.0/24 via 172.30.0.41 onlink"}
    active = hit("nic-down", before)
    fault.inject(place, active)
    assert engine.asked[-1] == "ip link set eth0 down"
    assert fault.evidence(place, active) == "", "it is still up"
    engine.answers["ip -br link"] = Result(0, "eth0@if9  DOWN  02:42:ac:1e:00:31 <BROADCAST>\n")
    assert "eth0 of m is DOWN" in fault.evidence(place, active)
    assert "down already" in fault.check(place, fault.options)
    fault.heal(place, active)
    assert engine.asked[-1].endswith(
        " nic-up eth0 default via 172.30.0.1 10.42.1.0/24 via 172.30.0.41 onlink"
    )
