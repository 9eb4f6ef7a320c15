"""What the instrument asks, how its lines become events, and what journals tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from probed import GROUND, WITHOUT_WORKERS

from lab.base.errors import InputError
from lab.measure import probe, probes

if TYPE_CHECKING:
    from lab.measure.probe import ProbeContext


def named(ground: ProbeContext = GROUND) -> dict[str, probe.ProbeSpec]:
    return {row.name: row for row in probes.rows(ground)}


def test_names_are_the_ones_that_checkers_know() -> None:
    asked = {row.instrument()["probe"] for row in probes.rows(GROUND) if row.question}
    outside = (
        "api.vip.new api.vip.kept api.lb.new api.lb.kept api.m.new api.m2.new api.m3.new "
        "write.vip.new write.lb.new service.outside vip.arp"
    )
    pods = {f"{what}.pod.{node}" for what in ("service", "dns") for node in ("w1", "w2", "w3")}
    assert asked == {
        *outside.split(),
        *pods,
        "etcd.m",
        "etcd.m2",
        "etcd.m3",
        "nodes",
        "endpoints",
        "pods",
    }


def test_no_two_rows_have_one_name_and_all_time_outs_are_below_a_second() -> None:
    rows = probes.rows(GROUND)
    assert len(named()) == len(rows)
    assert all(row.timeout < 1 and row.interval <= 0.2 for row in rows if row.question)


def test_every_question_says_what_it_asks() -> None:
    for name, question in probes.questions().items():
        assert question.summary, name
    assert set(probes.questions()) == {
        "api",
        "cluster",
        "dns",
        "etcd",
        "service",
        "vip",
        "watch",
        "writes",
    }


def test_without_workers_the_masters_pods_ask() -> None:
    assert {row.pod for row in probes.rows(WITHOUT_WORKERS) if row.pod} == {"m", "m2", "m3"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["api.vip"], {"api.vip.new", "api.vip.kept"}),
        (["vip.arp", "etcd.m"], {"vip.arp", "etcd.m"}),
        (["service.pod.w1"], {"service.pod.w1"}),
        (["write.lb"], {"write.lb.new", "final"}),
        (
            ["register"],
            {"register.vip.1", "register.vip.2", "register.lb.1", "register.lb.2", "final"},
        ),
        (["watch"], {"watch.vip", "watch.lb"}),
    ],
)
def test_words_choose_rows_and_writers_bring_the_reader(words: list[str], found: set[str]) -> None:
    assert {row.name for row in probes.rows(GROUND, words)} == found


@pytest.mark.parametrize("word", ["", "api.vi", "telepathy", "service.pod.m"])
def test_unknown_words_are_told(word: str) -> None:
    with pytest.raises(InputError, match="no probe"):
        probes.rows(GROUND, [word])
