"""The judges of `halab verify`: good answers pass, broken ones are named."""

from __future__ import annotations

import json

from lab import data, verify, versions


def test_the_checks_run_an_image_that_every_node_has() -> None:
    assert versions.read(data.shipped("images")).pods["toolbox"] == verify.IMAGE


def test_nodes() -> None:
    text = "m Ready control-plane 1m v1\nw1 NotReady worker 1m v1\n"
    assert verify.judge_nodes("m Ready x 1m v1\n", ["m"]).ok
    assert verify.judge_nodes(text, ["m", "w1", "w2"]).seen == "w1 is NotReady, w2 is not registered"


def test_pods() -> None:
    good = "kube-system coredns-1 1/1 Running 1 (4m ago) 9m\ndefault job-1 0/1 Completed 0 1m\nhalab-verify-1 w1 0/1 Terminating 0 1m\n"
    assert verify.judge_pods(good).ok
    assert "coredns-1 is Running (0/1)" in verify.judge_pods(good.replace("1/1", "0/1")).seen
    assert not verify.judge_pods("a b 0/1 CrashLoopBackOff 3 1m").ok


def test_etcds_members() -> None:
    def text(*names: str, learner: str = "") -> str:
        return json.dumps({"members": [{"name": name, "isLearner": name == learner} for name in names]})

    assert verify.judge_members(text("m", "m2"), ["m", "m2"]).ok
    assert verify.judge_members(text("m-1a2b", "m2-3c4d"), ["m", "m2"]).ok  # K3s
    assert not verify.judge_members(text("m"), ["m", "m2"]).ok
    assert not verify.judge_members(text("m", "m2", learner="m2"), ["m", "m2"]).ok
    assert not verify.judge_members("curl: (7)", ["m"]).ok


def test_members_must_agree_on_a_leader_and_a_term() -> None:
    terms = verify.Terms()
    assert terms.judge('{"raftTerm": "3", "leader": "255"}').seen == "term 3, leader ff"
    assert not terms.judge('{"raftTerm": "4", "leader": "255"}').ok
    assert not verify.Terms().judge('{"raftTerm": "4", "leader": "0"}').ok
    assert not verify.Terms().judge("").ok


def test_quorum_and_answers() -> None:
    assert verify.judge_quorum("Nodes:            3\nQuorate:          Yes\n").ok
    assert not verify.judge_quorum("Nodes:            1\nQuorate:          No\n").ok
    assert verify.judge_answer("401").ok
    assert not verify.judge_answer("000").ok
    assert verify.judge_words("a b", ["a", "b"]).ok
    assert verify.judge_words("a", ["a", "b"]).seen == "missing: b"
