"""Masters that are one cluster again, or are about to be fenced.

Pacemaker's output is read, and the masters are waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from fake_engine import FakeEngine

from lab.base.errors import EngineError
from lab.engine.commands import Result
from lab.engine.node import NodeHandle
from lab.nodes.ha import crm_mon, membership
from lab.nodes.ha.crm_mon import View
from lab.nodes.ha.membership import Settling, quiet_s

if TYPE_CHECKING:
    from lab.engine.client import Engine

XML = """<pacemaker-result><summary><current_dc present="true" name="m3" \
with_quorum="{quorum}"/></summary><nodes>
<node name="m" online="true" pending="false" unclean="false"/>\
<node name="m2" online="{online}" pending="false" unclean="{unclean}"/>
</nodes>{history}</pacemaker-result>"""
EVENT = (
    '<fence_event action="off" target="m2" status="{}" completed="2026-11-24 19:06:59.000473Z"/>'
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"quorum": "true", "online": "true", "unclean": "false", "history": ""},
            View(frozenset({"m", "m2"}), quorate=True),
        ),
        (
            {"quorum": "false", "online": "true", "unclean": "true", "history": ""},
            View(frozenset({"m"})),
        ),
        (
            {
                "quorum": "true",
                "online": "false",
                "unclean": "true",
                "history": f"<fence_history>{EVENT.format('pending')}</fence_history>",
            },
            View(frozenset({"m"}), True, ("m2",)),  # noqa: FBT003
        ),
        (
            {
                "quorum": "true",
                "online": "false",
                "unclean": "false",
                "history": f"<fence_history>{EVENT.format('success')}</fence_history>",
            },
            View(frozenset({"m"}), True, (), (("m2", 1795547219.000473),)),  # noqa: FBT003
        ),
    ],
)
def test_a_view_is_read(values: dict[str, str], expected: View) -> None:
    assert crm_mon.view(XML.format(**values)) == expected


def test_who_does_not_answer_sees_nobody() -> None:
    assert crm_mon.view("crm_mon: Connection to cluster failed") == View()


@dataclass(frozen=True)
class Master(NodeHandle):
    """A master of the double; what its Pacemaker sees is said by the test."""

    sees: list[View] = field(default_factory=lambda: [View()])

    @property
    def fake(self) -> FakeEngine:
        return cast("FakeEngine", self.engine)

    @property
    def started(self) -> int:
        return self.fake.calls.count(f"start {self.container}")

    @property
    def ran(self) -> list[str]:
        commands = [line.split() for line in self.fake.commands]
        return [words[2] for words in commands if words[0] == f"{self.container}:"]


def master(name: str, engine: FakeEngine, state: str = "running") -> Master:
    made = Master(cast("Engine", engine), "x", name, "master", "")
    engine.add(made.container, state=state)
    engine.answers[f"{made.container}: systemctl show"] = Result(
        0, "ActiveState=active\nExecMainStatus=0\n"
    )
    return made


@pytest.fixture
def masters(monkeypatch: pytest.MonkeyPatch) -> tuple[Master, ...]:
    monkeypatch.setattr(membership, "look", lambda node: node.sees[0])
    engine = FakeEngine()
    nodes = tuple(master(name, engine) for name in ("m", "m2", "m3"))
    say(nodes, "m", "m2", "m3")
    return nodes


def say(
    nodes: tuple[Master, ...],
    *members: str,
    fencing: tuple[str, ...] = (),
    fenced: tuple[tuple[str, float], ...] = (),
) -> None:
    for node in nodes:
        node.sees[0] = View(frozenset(members), quorate=True, fencing=fencing, fenced=fenced)


def settling(nodes: tuple[Master, ...], quiet: float = 0.0, **more: object) -> Settling:
    return Settling(nodes, quiet, **more)  # type: ignore[arg-type]


def test_agreement_is_the_end(masters: tuple[Master, ...]) -> None:
    assert settling(masters).advance().ok


def test_a_minority_that_counts_itself_is_not_believed(masters: tuple[Master, ...]) -> None:
    masters[0].sees[0] = View(frozenset({"m"}), quorate=False)
    assert "m does not count m2, m3" in settling(masters).advance().detail


def test_agreement_must_last_and_begins_anew_when_broken(
    masters: tuple[Master, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((10.0, 10.0, 12.9, 14.0, 14.0, 17.0))
    # The module's alone: another thread would take times of it.
    monkeypatch.setattr(membership, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    wait = settling(masters, 3.0)
    assert [wait.advance().ok, wait.advance().ok] == [False, False]
    say(masters, "m", "m3")
    assert not wait.advance().ok
    say(masters, "m", "m2", "m3")
    assert [wait.advance().ok, wait.advance().ok] == [False, True]


def test_a_master_that_dies_while_it_is_asked_breaks_the_agreement(
    masters: tuple[Master, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = settling(masters, 3600.0)
    wait.advance()
    assert wait.agreed is not None

    def dies(_: object) -> View:
        raise EngineError("is not running")

    monkeypatch.setattr(membership, "look", dies)
    with pytest.raises(EngineError):
        wait.advance()
    assert wait.agreed is None


def test_a_shot_on_its_way_is_awaited_and_its_victim_powered_on(
    masters: tuple[Master, ...],
) -> None:
    wait = settling(masters, since=100.0)
    say(masters, "m", "m2", "m3", fencing=("m2",))
    assert wait.advance().detail == "the fencing of m2 is under way"
    masters[1].fake.kill(masters[1].container)
    say(masters, "m", "m3", fenced=(("m2", 101.0),))
    assert "powered on again" in wait.advance().detail
    assert masters[1].started == 1


def test_a_victim_that_was_not_hit_itself_is_powered_on_but_not_who_was_off_before(
    masters: tuple[Master, ...],
) -> None:
    masters[1].fake.kill(masters[1].container)
    say(masters, "m", "m3", fenced=(("m2", 99.0),))
    before = settling(masters, since=100.0)
    assert before.advance().ok
    say(masters, "m", "m3", fenced=(("m2", 101.0),))
    during = settling(masters, since=100.0)
    assert not during.advance().ok
    during.advance()
    assert masters[1].started == 1


@pytest.mark.parametrize(
    ("unit", "started"),
    [
        ("ActiveState=inactive\nExecMainStatus=100\n", True),  # told late that it was shot
        (
            "ActiveState=inactive\nExecMainStatus=0\n",
            False,
        ),  # stopped by somebody, or not started yet
        ("ActiveState=activating\nExecMainStatus=100\n", False),
    ],
)
def test_a_pacemaker_that_stays_down_after_a_fatal_error_is_started(
    masters: tuple[Master, ...],
    unit: str,
    started: bool,  # noqa: FBT001
) -> None:
    masters[2].sees[0] = View()
    masters[2].fake.answers[f"{masters[2].container}: systemctl show"] = Result(0, unit)
    observation = settling(masters).advance()
    assert not observation.ok
    assert ("started again" in observation.detail) is started
    assert masters[2].ran == (["show", "start"] if started else ["show"])
    assert masters[0].ran == []


def test_corosyncs_delays_and_pacemakers_are_waited_out() -> None:
    assert quiet_s(1000) == pytest.approx(3.2)


def test_a_frozen_machine_that_should_run_is_woken() -> None:
    node = master("m", FakeEngine(), state="paused")
    assert membership.power_on_again(node) == "was frozen; woken again"
    assert node.started == 1
