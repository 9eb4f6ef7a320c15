"""The look at Pacemaker after a fault, with doubles of masters.

The CIB must be the same everywhere and as before, and every resource must run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from lab.engine.commands import Result
from lab.nodes import distributions
from lab.nodes.ha import cib as pacemaker
from lab.nodes.ha import crm_mon
from lab.nodes.ha.cib_audit import Audit
from lab.topology import loader

TOPOLOGY = loader.load(Path(__file__).parents[4] / "topologies" / "3m3w.yaml").topology

CIB = """<configuration><crm_config><cluster_property_set id="options">
<nvpair id="opt-stonith-enabled" name="stonith-enabled" value="{}"/>
</cluster_property_set></crm_config><nodes><node id="1" uname="m"/></nodes>
<resources><primitive id="fence-m" class="stonith"/></resources>
</configuration>"""
RUNS = """<pacemaker-result><resources>
<clone id="c"><resource id="apiserver-health" active="true" blocked="false"/></clone>
<resource id="FAILOVER-ADDR" active="true" blocked="{}"/>
<resource id="fence-m" active="{}" blocked="false"/></resources></pacemaker-result>"""


@dataclass
class DoubleMaster:
    """A double of a master: its CIB and what its Pacemaker says of the resources."""

    name: str
    cib: str = CIB.format("true")
    resources: str = RUNS.format("false", "true")

    def run(self, argv: tuple[str, ...], *, check: bool, timeout_s: float) -> Result:
        assert not check
        assert timeout_s
        return Result(0, self.cib if argv[0] == "cibadmin" else self.resources)


def audit(*masters: DoubleMaster) -> Audit:
    return Audit(masters)  # type: ignore[arg-type] # doubles


def test_all_is_well_and_stays_so() -> None:
    looked = audit(DoubleMaster("m"), DoubleMaster("m2"))
    assert looked.observe().ok
    assert looked.observe().ok
    assert (
        looked.before["opt-stonith-enabled"]
        == "id=opt-stonith-enabled name=stonith-enabled value=true"
    )
    assert "1" not in looked.before  # nodes are added as they join


@pytest.mark.parametrize(
    ("master", "said"),
    [
        (
            DoubleMaster("m2", cib=CIB.format("false")),
            "the CIB of m2 differs in opt-stonith-enabled",
        ),
        (DoubleMaster("m2", cib="cibadmin: Connection refused"), "the CIB of m2 does not answer"),
        (
            DoubleMaster("m2", resources=RUNS.format("true", "true")),
            "m2 says that FAILOVER-ADDR does not run",
        ),
        (
            DoubleMaster("m2", resources=RUNS.format("false", "false")),
            "m2 says that fence-m does not run",
        ),
        (DoubleMaster("m2", resources=""), "m2 says that Pacemaker does not run"),
    ],
)
def test_what_is_wrong_is_said(master: DoubleMaster, said: str) -> None:
    observation = audit(DoubleMaster("m"), master).observe()
    assert (observation.ok, observation.detail) == (False, said)


def test_a_change_that_all_masters_agree_on_is_found() -> None:
    masters = (DoubleMaster("m"), DoubleMaster("m2"))
    looked = audit(*masters)
    assert looked.observe().ok
    for master in masters:
        master.cib = CIB.format("false")
    assert "m differs in opt-stonith-enabled; the CIB of m2 differs" in looked.observe().detail


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_lone_masters_device_has_nowhere_to_run_and_with_fencing_off_nobody_needs_it(
    enabled: str,
) -> None:
    alone = DoubleMaster("m", CIB.format(enabled), RUNS.format("false", "false"))
    assert audit(alone).observe().ok
    assert audit(alone, DoubleMaster("m2", CIB.format(enabled))).observe().ok == (
        enabled == "false"
    )


def test_the_names_are_those_of_the_cib_that_is_written() -> None:
    root = ET.fromstring(pacemaker.cib(TOPOLOGY, distributions.find("upstream").health, "secret"))  # noqa: S314 (our own text)
    configuration = root.find("configuration")
    assert configuration is not None
    settings = crm_mon.settings(ET.tostring(configuration, encoding="unicode"))
    assert "value=true" in settings[pacemaker.FENCING_OPTION]
    assert {f"{pacemaker.FENCE_PREFIX}{node.name}" for node in TOPOLOGY.masters} <= settings.keys()
