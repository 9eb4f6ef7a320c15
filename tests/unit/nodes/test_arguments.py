"""The user's options on nodes: in upstream's units, in K3s's lists, in place of halab's own."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.kube.pki import new_secrets
from lab.nodes import arguments
from lab.nodes.distributions.k3s import config
from lab.nodes.distributions.upstream import units
from lab.topology.loader import load

if TYPE_CHECKING:
    from lab.topology.model import Topology

REFERENCE = Path(__file__).parents[3] / "topologies" / "1m1w.yaml"
SECRETS = new_secrets("test")


def topology(*sets: str) -> Topology:
    return load(REFERENCE, tuple(f"kubernetes.args.{one}" for one in sets)).topology


def words(unit: bytes) -> list[str]:
    text = unit.decode()
    command = text[text.index("ExecStart=") :].split("Restart=always")[0]
    return shlex.split(command.replace("\\\n", " "))


def written(content: bytes) -> dict[str, Any]:
    rows = (line.split(": ", 1) for line in content.decode().splitlines())
    return {key: json.loads(value) for key, value in rows}


def test_upstreams_programs_get_the_options_at_the_end() -> None:
    lab = topology("apiserver.v=4", "controller-manager.v=5", "scheduler.v=6", "kubelet.v=7")
    master = lab.nodes[0]
    renders = (units.apiserver, units.controller_manager, units.scheduler, units.kubelet)
    assert [words(render(lab, master))[-1] for render in renders] == [
        "--v=4",
        "--v=5",
        "--v=6",
        "--v=7",
    ]


def test_an_option_takes_the_place_of_halabs() -> None:
    lab = topology("apiserver.default-not-ready-toleration-seconds=5")
    command = words(units.apiserver(lab, lab.nodes[0]))
    assert "--default-not-ready-toleration-seconds=5" in command
    assert "--default-not-ready-toleration-seconds=30" not in command
    assert "--default-unreachable-toleration-seconds=30" in command


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("A=true,B=false", "--x=A=true,B=false"),
        ("two words", '"--x=two words"'),
        ("100%", '"--x=100%%"'),
        ("$HOME", '"--x=$$HOME"'),
        (r"a\b", r'"--x=a\\b"'),
        ('say "so"', r'"--x=say \"so\""'),
        ("a; b", '"--x=a; b"'),
    ],
)
def test_systemd_takes_an_option_as_it_was_written(value: str, word: str) -> None:
    assert arguments.options((("x", value),)) == [word]


def test_k3s_gets_them_as_its_lists() -> None:
    lab = topology(
        "apiserver={v: 4, default-not-ready-toleration-seconds: 5}",
        "controller-manager.v=5",
        "scheduler.v=6",
        "kubelet.max-pods=200",
    )
    common = written(config.render_master(config.common(lab, SECRETS)))
    assert common["kube-apiserver-arg"] == [
        "default-unreachable-toleration-seconds=30",
        "v=4",
        "default-not-ready-toleration-seconds=5",
    ]
    assert common["kube-controller-manager-arg"][-1] == "v=5"
    assert common["kube-scheduler-arg"] == ["v=6"]
    master = config.render_master(config.master(lab, lab.masters[0]))
    agent = config.render_agent(config.agent(lab, lab.workers[0], SECRETS))
    for file in (master, agent):
        assert written(file)["kubelet-arg"][-1] == "max-pods=200"


def test_k3s_own_keys_reach_the_roles_that_know_them() -> None:
    lab = topology(
        "k3s={disable: [servicelb, metrics-server], debug: true, etcd-disable-snapshots: false, "
        "etcd-arg: heartbeat-interval=200, snapshotter: native, node-label: [a=b, c=d]}"
    )
    common = written(config.render_master(config.common(lab, SECRETS)))
    assert common["disable"] == ["traefik", "coredns", "servicelb", "metrics-server"]
    assert common["debug"] is True
    assert common["etcd-disable-snapshots"] is False
    assert common["etcd-arg"] == [
        "election-timeout=1000",
        "max-learners=2",
        "heartbeat-interval=200",
    ]
    assert common["node-label"] == ["a=b", "c=d"]
    agent = written(config.render_agent(config.agent(lab, lab.workers[0], SECRETS)))
    assert (agent["debug"], agent["snapshotter"]) == (True, "native")
    assert agent["node-label"] == ["a=b", "c=d"]
    assert "disable" not in agent
