"""The instrument on the reference lab.

Everything samples, what is written is read back, a killed VIP holder is seen, nothing is left.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

from lab.analysis import report
from lab.analysis.history.events import Event
from lab.engine import client
from lab.engine.labels import LABEL_INSTRUMENT
from lab.lifecycle.start import start_node
from lab.live.lab import find
from lab.measure import pace
from lab.measure.connection_trace import UNIT
from lab.measure.instruments import Instruments
from lab.measure.probe import SPACE
from lab.nodes.ha import nginx

if TYPE_CHECKING:
    from pathlib import Path

    from labs import Inside


JUDGED_S = 5
"""For so long before the dead master returns everybody must be answered."""


def left(inside: Inside) -> str:
    lab = client.connect()
    containers = [
        name for name in lab.labelled(LABEL_INSTRUMENT)[0] if lab.owner(name) == inside.lab
    ]
    return "".join(containers) + inside.kubectl(
        "get", "namespaces", "-o", "name", "--field-selector", f"metadata.name={SPACE}"
    )


def test_the_instrument_sees_a_crash_of_the_vip_holder(inside: Inside, tmp_path: Path) -> None:
    lab = find(client.connect(), inside.lab)
    instruments = Instruments(lab, tmp_path, pace=pace.of(lab).factor)
    instruments.start()
    try:
        time.sleep(5)
        holder = inside.status()["vip_holders"][0]
        fired = time.monotonic() - instruments.begin
        lab.engine.kill(lab.node(holder).container)
        instruments.note(
            Event(
                fired,
                "fault",
                {
                    "action": "fire",
                    "id": "1",
                    "fault": "crash",
                    "node": holder,
                    "word": "@vip-holder",
                },
            )
        )
        inside.eventually(
            "another master holds the VIP",
            lambda: inside.status()["vip_holders"] not in ([], [holder]),
            60,
        )
        # Kept connections through the load balancer to the dead master are silent until it is
        # passed over; they are ended in that same round.
        row = f"{lab.topology.node(holder).ip}:6443 down;"
        inside.eventually(
            "the load balancer passes it over",
            lambda: row in inside.run("lb", "cat", nginx.UPSTREAM),
            60,
        )
        time.sleep(JUDGED_S + 1)
    finally:
        back = time.monotonic() - instruments.begin
        start_node(lab, holder)
        found = instruments.stop()
    assert instruments.left == ()
    assert left(inside) == ""
    # Everything asked, and everything but the dead master's own questions answered at first,
    # without the master, and while it came back.
    for name in found.instruments():
        samples = found.samples(name)
        assert samples, name
        assert any(sample.get("ok") for sample in samples if sample.t < fired), name
        for begin, end in ((back - JUDGED_S, back), (back, float("inf"))):
            answered = any(sample.get("ok") for sample in samples if begin < sample.t <= end)
            assert answered or holder in name.split("."), (name, begin, end, samples[-50:])
    assert (
        {"m", "m2", "m3"}
        >= {node for sample in found.samples("vip.arp") for node in sample.get("value") or ()}
        > {holder}
    )
    assert any(
        sample.get("ok") is False for sample in found.samples("api.vip.new") if sample.t > fired
    )
    # Which pods the questions of every worker went to was traced, and the traces have ended.
    workers = {node.name for node in lab.topology.workers}
    traced = found.of("trace", state="answers")
    assert {(event.get("node"), event.get("to")) for event in traced} == {
        (node, to) for node in workers for to in ("service", "dns")
    }
    for node in workers:
        state = lab.node(node).run(["systemctl", "is-active", UNIT], check=False)
        assert state.output.strip() == "inactive"
    # What was acknowledged is there.
    final = found.of("op", op="list", outcome="ok")[-1].get("value")
    created = {op.get("key"): op.get("value") for op in found.of("op", op="create", outcome="ok")}
    assert created
    created = {key: value for key, value in created.items() if not str(key).startswith("register")}
    assert {key: final.get(key) for key in created} == created
    # The others' journals and the dead one's, which is read from its disk or after its boot.
    assert {event.get("what") for event in found.of("log")} >= {"membership", "vip-start"}
    assert f" {holder} " in (tmp_path / "logs" / "all.log").read_text()


def test_a_start_that_cannot_be_leaves_nothing_and_what_a_kill_left_is_removed(
    inside: Inside, tmp_path: Path
) -> None:
    lab = find(client.connect(), inside.lab)
    killed = Instruments(lab, tmp_path)
    killed.start(["api.lb", "write.lb"])
    killed._listener._conversation.close()  # as the end of a killed process does
    inside.eventually("the agent ends with its reader", lambda: not killed._listener.alive, 30)
    second = Instruments(lab, tmp_path)
    second.start(["api.lb"])
    second.stop()
    assert left(inside) == ""


def measured(
    inside: Inside, folder: Path, wanted: list[str], *, kill: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Measure for some seconds; return the verdicts that are not unknown, and what was left."""
    folder.mkdir()
    lab = find(client.connect(), inside.lab)
    instruments = Instruments(lab, folder)
    instruments.start()
    file = folder / "history.jsonl"
    for probe in ("vip.arp", "etcd.m", "etcd.m2", "etcd.m3"):

        def enough(word: str = f'"probe":"{probe}"') -> bool:
            return file.read_text().count(word) > 30

        inside.eventually(f"samples of {probe}", enough, 60)
    if kill:
        lab.engine.kill(instruments._agent)
    history = instruments.stop()
    outcomes = {row.name: row.outcome for row in report.judge(history, wanted)}
    known = {word: outcomes[word] for word in wanted if outcomes[word] != "unknown"}
    return known, instruments.left


def test_an_agent_that_was_killed_makes_everything_unknown(inside: Inside, tmp_path: Path) -> None:
    wanted = ["vip_unique", "outage(api.vip) <= 5m", "one_leader", "linearizable"]
    folders = (tmp_path / str(number) for number in itertools.count())

    def judges() -> bool:
        known, problems = measured(inside, next(folders), wanted, kill=False)
        assert problems == ()
        # In so short a time few operations are answered: the others have samples enough.
        return known.keys() >= {"vip_unique", "one_leader"}

    # On a busy machine the instrument says, rightly, that it did not sample for too long.
    inside.eventually("an agent that lives can judge", judges, 600)
    known, problems = measured(inside, next(folders), wanted, kill=True)
    assert known == {}
    assert any("died" in problem for problem in problems)
    assert left(inside) == ""
