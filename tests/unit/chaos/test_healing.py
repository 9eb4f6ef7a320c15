"""Healing by records, on doubles of nodes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from faultdoubles import TOPOLOGY, FaultEngine, hit, site

from lab.base.errors import HealFailed, InputError
from lab.chaos import faults, healing
from lab.chaos.faults import machine
from lab.chaos.healing import Healer
from lab.chaos.lab_faults import LabFaults
from lab.engine.commands import Result
from lab.live.active_faults import ActiveFault

if TYPE_CHECKING:
    from lab.chaos.fault import FaultSite


def healer_at(place: FaultSite) -> Healer:
    """A healer of a lab whose every node is this place, and which does not pause."""
    lab: Any = SimpleNamespace(lab=SimpleNamespace(name="x"), site=lambda _: place)
    return Healer(lab, again_s=0)


def test_a_record_of_a_fault_that_is_not_known_is_said_and_the_others_are_healed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    healed: list[str] = []
    strange = ActiveFault(id="beef", fault="meteor", node="m")
    monkeypatch.setattr(machine.Hang, "heal", lambda _self, _site, hit: healed.append(hit.fault))
    monkeypatch.setattr(healing.active_faults, "read", lambda _engine, _nodes: (strange,))
    monkeypatch.setattr(
        healing.active_faults,
        "clear",
        lambda _engine, _node, hits: healed.extend(f"cleared {hit.fault}" for hit in hits),
    )
    healer = healer_at(site())
    with pytest.raises(HealFailed, match=r"meteor on .* knows no such fault"):
        healer.heal([strange, hit("hang")])
    assert healed == ["hang", "cleared hang"]


def test_masters_that_are_one_cluster_again_write_their_attributes_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that was frozen for long had cleared the others': none of them could have the VIP."""
    calls: list[tuple[str, ...]] = []

    class Master:
        """A double of a master: it notes what it is told to run."""

        def __init__(self, name: str) -> None:
            self.name, self.running = name, name != "m"

        def run(self, argv: tuple[str, ...], **_: float) -> None:
            calls.append((self.name, *argv))

    lab: Any = SimpleNamespace(name="x", topology=TOPOLOGY, engine=None, node=Master)
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    monkeypatch.setattr(Healer, "_settle", lambda *_: True)
    healer = Healer(cast("Any", SimpleNamespace(lab=lab)), again_s=0)
    healer.rejoin([ActiveFault(id="a", fault="hang", node="w1")])
    assert calls == []  # no master was hit
    healer.rejoin([ActiveFault(id="b", fault="hang", node="m")])
    assert calls == [("m2", "attrd_updater", "--refresh")]


def test_what_a_record_lacks_for_healing_has_its_default_or_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = FaultEngine({"systemctl show": Result(0, "7")})
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    healer = healer_at(site(engine=engine))
    bare = {"id": "00c0ffee", "node": "m"}
    with pytest.raises(HealFailed, match=r"clock-skew on m .* its record lacks .*pid"):
        healer.heal([ActiveFault(fault="clock-skew", **bare)])
    assert any(line.endswith("MainPID kube-apiserver") for line in engine.asked)
    healer.heal([ActiveFault(fault="bmc-unreachable", **bare)])


@pytest.mark.parametrize(
    ("status", "others", "asked"),
    [("running", (), []), ("exited", (), ["start halab-x-m"]), ("exited", ("crash",), [])],
)
def test_a_machine_that_was_shot_meanwhile_is_powered_on_unless_another_fault_keeps_it_off(
    monkeypatch: pytest.MonkeyPatch, status: str, others: tuple[str, ...], asked: list[str]
) -> None:
    engine = FaultEngine(state=status)
    mine = hit("loss")
    monkeypatch.setattr(type(faults.find("loss")), "heal", lambda *_: None)
    monkeypatch.setattr(
        healing.active_faults,
        "read",
        lambda _engine, _nodes: (
            mine,
            *(ActiveFault(id="beef", fault=name, node="m") for name in others),
        ),
    )
    monkeypatch.setattr(healing.active_faults, "clear", lambda *_: None)
    healer_at(site(engine=engine)).heal([mine])
    assert engine.asked == asked


def test_healing_one_by_name_or_id(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (hit("hang"), ActiveFault(id="beef", fault="loss", node="w1"))
    monkeypatch.setattr(LabFaults, "active", lambda _: both)
    lab = LabFaults(type("LabDouble", (), {"name": "x"})())  # type: ignore[arg-type]
    assert lab.chosen("loss") == (both[1],)
    assert lab.chosen("00c0ffee") == (both[0],)
    with pytest.raises(InputError, match="crash"):
        lab.chosen("crash")
