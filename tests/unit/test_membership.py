"""Masters that are one cluster again, or are about to be shot: read from Pacemaker's words, and waited for."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lab.base.errors import EngineError
from lab.engine.commands import Result
from lab.nodes.ha import crm_mon, membership
from lab.nodes.ha.crm_mon import View
from lab.nodes.ha.membership import Settling, quiet_s

XML = """<pacemaker-result><summary><current_dc present="true" name="m3" with_quorum="{quorum}"/></summary><nodes>
<node name="m" online="true" pending="false" unclean="false"/><node name="m2" online="{online}" pending="false" unclean="{unclean}"/>
</nodes>{history}</pacemaker-result>"""
EVENT = (
    '<fence_event action="off" target="m2" status="{}" completed="2026-11-24 19:06:59.000473Z"/>'
)


@pytest.mark.parametrize(
    ("values", "wanted"),
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
def test_a_view_is_read(values: dict[str, str], wanted: View) -> None:
    assert crm_mon.view(XML.format(**values)) == wanted


def test_who_does_not_answer_sees_nobody() -> None:
    assert crm_mon.view("crm_mon: Connection to cluster failed") == View()


@dataclass
class DoubleMaster:
    """A double of a master: its state, and how often it was powered on."""

    name: str
    state: str = "running"
    started: int = 0
    sees: View = field(default_factory=View)
    unit: str = "ActiveState=active\nExecMainStatus=0\n"
    ran: list[str] = field(default_factory=list)

    @property
    def container(self) -> str:
        return self.name

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def engine(self) -> DoubleMaster:
        return self

    def inspect(self, _: str) -> dict[str, dict[str, str]]:
        return {"State": {"Status": self.state}}

    def run(self, argv: tuple[str, ...], **_: object) -> Result:
        self.ran.append(argv[1])
        return Result(0, self.unit)

    def start(self, _: str) -> None:
        self.state, self.started = "running", self.started + 1


@pytest.fixture
def masters(monkeypatch: pytest.MonkeyPatch) -> tuple[DoubleMaster, ...]:
    monkeypatch.setattr(membership, "look", lambda node: node.sees)
    nodes = tuple(DoubleMaster(name) for name in ("m", "m2", "m3"))
    say(nodes, "m", "m2", "m3")
    return nodes


def say(
    nodes: tuple[DoubleMaster, ...],
    *members: str,
    fencing: tuple[str, ...] = (),
    fenced: tuple[tuple[str, float], ...] = (),
) -> None:
    for node in nodes:
        node.sees = View(frozenset(members), quorate=True, fencing=fencing, fenced=fenced)


def settling(nodes: tuple[DoubleMaster, ...], quiet: float = 0.0, **more: object) -> Settling:
    return Settling(nodes, quiet, **more)  # type: ignore[arg-type]


def test_agreement_is_the_end(masters: tuple[DoubleMaster, ...]) -> None:
    assert settling(masters).advance().ok


def test_a_minority_that_counts_itself_is_not_believed(masters: tuple[DoubleMaster, ...]) -> None:
    masters[0].sees = View(frozenset({"m"}), quorate=False)
    assert "m does not count m2, m3" in settling(masters).advance().detail


def test_agreement_must_last_and_begins_anew_when_broken(
    masters: tuple[DoubleMaster, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((10.0, 10.0, 12.9, 14.0, 14.0, 17.0))
    monkeypatch.setattr(membership.time, "monotonic", lambda: next(clock))
    wait = settling(masters, 3.0)
    assert [wait.advance().ok, wait.advance().ok] == [False, False]
    say(masters, "m", "m3")
    assert not wait.advance().ok
    say(masters, "m", "m2", "m3")
    assert [wait.advance().ok, wait.advance().ok] == [False, True]


def test_a_master_that_dies_while_it_is_asked_breaks_the_agreement(
    masters: tuple[DoubleMaster, ...], monkeypatch: pytest.MonkeyPatch
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
    masters: tuple[DoubleMaster, ...],
) -> None:
    wait = settling(masters, since=100.0)
    say(masters, "m", "m2", "m3", fencing=("m2",))
    assert wait.advance().detail == "m2 about to be shot"
    masters[1].state = "exited"
    say(masters, "m", "m3", fenced=(("m2", 101.0),))
    assert "powered on again" in wait.advance().detail
    assert masters[1].started == 1


def test_a_victim_that_was_not_hit_itself_is_powered_on_but_not_who_was_off_before(
    masters: tuple[DoubleMaster, ...],
) -> None:
    masters[1].state = "exited"
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
    masters: tuple[DoubleMaster, ...],
    unit: str,
    started: bool,  # noqa: FBT001
) -> None:
    masters[2].sees, masters[2].unit = View(), unit
    observation = settling(masters).advance()
    assert not observation.ok
    assert ("started again" in observation.detail) is started
    assert masters[2].ran == (["show", "start"] if started else ["show"])
    assert masters[0].ran == []


def test_corosyncs_delays_and_pacemakers_are_waited_out() -> None:
    assert quiet_s(1000) == pytest.approx(3.2)


def test_a_frozen_machine_that_should_run_is_woken() -> None:
    node = DoubleMaster("m", state="paused")
    assert membership.power_on_again(node) == "was frozen; woken again"  # type: ignore[arg-type]
    assert node.started == 1
