"""The judges of `halab verify`: good answers pass, broken ones are named."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from lab.base import paths
from lab.engine.commands import Result
from lab.images import versions
from lab.live import verify, verify_judges
from lab.nodes import distributions
from lab.topology import loader

if TYPE_CHECKING:
    from lab.live.lab import Lab
    from lab.nodes.distributions import Distribution


def test_the_checks_run_an_image_that_every_node_has() -> None:
    assert versions.read(paths.shipped("images")).pods["toolbox"] == verify.IMAGE


class Shown:
    """The part of a lab that the list of its checks needs."""

    def __init__(self, name: str) -> None:
        folder = paths.shipped("topologies")
        self.topology = loader.load(folder / "3m3w.yaml").topology
        self.name = name

    def distribution(self) -> Distribution:
        return distributions.find(self.name)


@pytest.mark.parametrize(("name", "port"), [("k3s", 2382), ("upstream", 2379)])
def test_etcd_is_asked_where_its_json_gateway_listens(name: str, port: int) -> None:
    """K3s gives the gateway a port of its own: on 2379 its etcd speaks gRPC only.

    See K3s's pkg/etcd/etcd.go.
    """
    checks = list(verify.Verifier(cast("Lab", Shown(name)))._etcd("m"))
    assert [check.name for check in checks] == [
        "etcd members",
        *(f"raft term of {node}" for node in ("m", "m2", "m3")),
    ]
    assert all(f"https://127.0.0.1:{port}/v3/" in check.command for check in checks)


class Settling:
    """A double of a node whose pods are ready at the third look."""

    def __init__(self) -> None:
        self.looks = 0

    def run(self, argv: list[str], *, check: bool, timeout_s: float) -> Result:
        assert argv[:2] == ["sh", "-c"]
        assert not check
        assert timeout_s > 0
        self.looks += 1
        return Result(0, f"kube-system dns-1 {int(self.looks >= 3)}/1 Running 0 9m\n")


@pytest.mark.parametrize(("patience", "looks"), [(60.0, 3), (0.0, 1)])
def test_what_is_not_so_yet_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, patience: float, looks: int
) -> None:
    monkeypatch.setattr(verify, "AGAIN_S", 0.0)
    node = Settling()
    lab = cast("Lab", SimpleNamespace(node=lambda _: node))
    check = verify.Check(name="pods", node="m", command="…", judge=verify_judges.judge_pods)
    said: list[str] = []
    verifier = verify.Verifier(lab, lambda _, text: said.append(text), patience_s=patience)
    assert verifier._ask(check).ok is (looks == 3)
    assert node.looks == looks
    assert said[1:] == ["not yet: kube-system/dns-1 is Running (0/1)"] * (looks - 1)


def test_nodes() -> None:
    text = "m Ready control-plane 1m v1\nw1 NotReady worker 1m v1\n"
    assert verify_judges.judge_nodes("m Ready x 1m v1\n", ["m"]).ok
    assert (
        verify_judges.judge_nodes(text, ["m", "w1", "w2"]).detail
        == "w1 is NotReady, w2 is not registered"
    )


def test_pods() -> None:
    good = (
        "kube-system coredns-1 1/1 Running 1 (4m ago) 9m\n"
        "default job-1 0/1 Completed 0 1m\n"
        "halab-verify-1 w1 0/1 Terminating 0 1m\n"
    )
    assert verify_judges.judge_pods(good).ok
    assert (
        "coredns-1 is Running (0/1)" in verify_judges.judge_pods(good.replace("1/1", "0/1")).detail
    )
    assert not verify_judges.judge_pods("a b 0/1 CrashLoopBackOff 3 1m").ok


def test_etcds_members() -> None:
    def text(*names: str, learner: str = "") -> str:
        return json.dumps(
            {"members": [{"name": name, "isLearner": name == learner} for name in names]}
        )

    assert verify_judges.judge_members(text("m", "m2"), ["m", "m2"]).ok
    assert verify_judges.judge_members(text("m-1a2b", "m2-3c4d"), ["m", "m2"]).ok  # K3s
    assert not verify_judges.judge_members(text("m"), ["m", "m2"]).ok
    assert not verify_judges.judge_members(text("m", "m2", learner="m2"), ["m", "m2"]).ok
    assert not verify_judges.judge_members("curl: (7)", ["m"]).ok


def test_members_must_agree_on_a_leader_and_a_term() -> None:
    terms = verify_judges.Terms()
    assert terms.judge('{"raftTerm": "3", "leader": "255"}').detail == "term 3, leader ff"
    assert not terms.judge('{"raftTerm": "4", "leader": "255"}').ok
    assert not verify_judges.Terms().judge('{"raftTerm": "4", "leader": "0"}').ok
    assert not verify_judges.Terms().judge("").ok


def test_quorum_and_answers() -> None:
    assert verify_judges.judge_quorum("Nodes:            3\nQuorate:          Yes\n").ok
    assert not verify_judges.judge_quorum("Nodes:            1\nQuorate:          No\n").ok
    assert verify_judges.judge_answer("401").ok
    assert not verify_judges.judge_answer("000").ok
    assert verify_judges.judge_presence("a b", ["a", "b"]).ok
    assert verify_judges.judge_presence("a", ["a", "b"]).detail == "missing: b"
