"""The life of a lab.

Idempotence, killed masters, stop and start, interrupted starts, two labs, nothing left.
"""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from labs import BESIDE_OTHERS, HALAB, TOPOLOGIES, Cli, Distribution, docker

if TYPE_CHECKING:
    from labs import Distribution, Inside


def ids(lab: str) -> dict[str, str]:
    rows = docker(
        "ps",
        "-a",
        "--no-trunc",
        "--filter",
        f"label=halab.lab={lab}",
        "--format",
        "{{.Names}} {{.ID}}",
    ).splitlines()
    return dict(row.split() for row in rows)


def left(lab: str) -> str:
    mark = f"label=halab.lab={lab}"
    return (
        docker("ps", "-aq", "--filter", mark)
        + docker("volume", "ls", "-q", "--filter", mark)
        + docker("network", "ls", "-q", "--filter", mark)
    )


@pytest.mark.distribution
def test_a_second_start_changes_nothing(inside: Inside, halab: Cli) -> None:
    before = ids(inside.lab)
    assert halab.json("start", inside.lab)["changed"] is False
    assert ids(inside.lab) == before
    assert halab.json("plan", inside.lab)["steps"] == []


@pytest.mark.distribution
def test_the_kubeconfig_is_private_and_works_and_merges(
    inside: Inside, halab: Cli, tmp_path: Path
) -> None:
    own = Path(halab.environment["XDG_STATE_HOME"]) / "halab" / f"{inside.lab}.kubeconfig"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    target = tmp_path / "config"
    target.write_text(
        "apiVersion: v1\nkind: Config\nclusters: "
        "[{name: mine, cluster: {server: 'https://x', insecure-skip-tls-verify: true}}]\n"
    )
    cli = Cli({**halab.environment, "KUBECONFIG": str(target)})
    cli("kubeconfig", inside.lab, "--merge")
    assert f"halab-{inside.lab}" in target.read_text()
    assert "insecure-skip-tls-verify: true" in target.read_text()
    cli("kubeconfig", inside.lab, "--unmerge")
    assert f"halab-{inside.lab}" not in target.read_text()
    assert "mine" in target.read_text()
    target.write_text("{ not yaml")
    cli("kubeconfig", inside.lab, "--merge", code=2)
    assert target.read_text() == "{ not yaml"


@pytest.mark.distribution
@pytest.mark.parametrize("victim", ["m", "m2", "m3"])
def test_a_killed_master_costs_neither_the_api_nor_the_vip(
    inside: Inside, halab: Cli, victim: str
) -> None:
    docker("kill", f"halab-{inside.lab}-{victim}")
    inside.eventually("the API answers by the VIP", lambda: inside.api(inside.vip), 60)
    holders = inside.status()["vip_holders"]
    assert len(holders) == 1
    assert holders[0] != victim
    inside.kubectl("create", "configmap", f"while-{victim}-is-dead")
    inside.kubectl("delete", "configmap", f"while-{victim}-is-dead")
    assert halab.json("start", inside.lab, victim)["changed"] is True
    inside.eventually(
        "the killed master is back",
        lambda: [row["etcd"] for row in inside.status()["nodes"]].count("follower") == 2,
        120,
    )


@pytest.mark.distribution
def test_the_vip_leaves_a_master_whose_api_died(inside: Inside, distribution: Distribution) -> None:
    holder = inside.status()["vip_holders"][0]
    inside.run(holder, "systemctl", "stop", distribution.api_unit)
    try:
        inside.eventually(
            "the VIP moves", lambda: inside.status()["vip_holders"] not in ([holder], []), 60
        )
        assert inside.run(holder, "systemctl", "is-active", "pacemaker").strip() == "active"
    finally:
        inside.run(holder, "systemctl", "start", "--no-block", distribution.api_unit)
    inside.eventually(
        "its API is back",
        lambda: inside.try_run(holder, "kubectl", "get", "--raw", "/readyz")[1] == "ok",
        120,
    )


@pytest.mark.distribution
def test_the_lab_comes_back_in_another_order(inside: Inside, halab: Cli) -> None:
    before = ids(inside.lab)
    assert len(halab.json("stop", inside.lab)["stopped"]) == 8
    assert all(row["state"] == "exited" for row in inside.status()["nodes"])
    for node in ("w3", "m3", "lb", "m"):
        docker("start", f"halab-{inside.lab}-{node}")
    halab("start", inside.lab)
    assert ids(inside.lab) == before
    status = inside.status()
    assert len(status["vip_holders"]) == 1
    assert all(
        row["kubernetes"] == "Ready" for row in status["nodes"] if row["role"] != "loadbalancer"
    )


@pytest.mark.distribution
def test_a_worker_stops_and_starts(inside: Inside, halab: Cli) -> None:
    assert set(halab.json("stop", inside.lab, "w2", "w3")["stopped"]) == {"w2", "w3"}
    halab("start", inside.lab, "w2")  # does not wait for w3, which stays off
    states = {row["name"]: row["state"] for row in inside.status()["nodes"]}
    assert (states["w2"], states["w3"]) == ("running", "exited")
    halab("start", inside.lab, "w3")


def test_a_container_removed_by_hand_is_made_again(inside: Inside, halab: Cli) -> None:
    before = ids(inside.lab)
    docker("rm", "-f", f"halab-{inside.lab}-w1")
    assert halab.json("start", inside.lab)["changed"] is True
    after = ids(inside.lab)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"halab-{inside.lab}-w1"}


@pytest.mark.distribution
@pytest.mark.parametrize("victim", ["m", "m2"])
def test_a_master_that_lost_its_disk_joins_the_others(
    inside: Inside, halab: Cli, victim: str
) -> None:
    """The first one founds no second cluster, another one is no stranger, no etcd panics."""
    inside.kubectl("create", "configmap", f"before-{victim}")
    container = f"halab-{inside.lab}-{victim}"
    mine = docker("volume", "ls", "-q", "--filter", f"label=halab.node={victim}").split()
    volumes = [name for name in mine if name.startswith(f"{container}-")]
    assert volumes
    docker("rm", "-fv", container)
    docker("volume", "rm", *volumes)
    halab("start", inside.lab)
    # By its own API server: that has its own etcd alone.
    inside.kubectl("get", "configmap", f"before-{victim}", node=victim)
    inside.kubectl("delete", "configmap", f"before-{victim}")
    halab("verify", inside.lab)


def test_another_topology_for_a_running_lab_is_refused(inside: Inside, halab: Cli) -> None:
    before = ids(inside.lab)
    done = halab(
        "start", str(TOPOLOGIES / "3m3w.yaml"), "--name", inside.lab, "--set", "ha.token=2s", code=2
    )
    assert "halab destroy" in done.stderr
    assert ids(inside.lab) == before


def test_a_subnet_in_use_is_refused_with_the_flag_that_helps(inside: Inside, halab: Cli) -> None:
    words = (str(TOPOLOGIES / "3m3w.yaml"), "--name", "other")
    taken = ("--set", f"network.subnet={inside.topology.network.subnet}")
    done = halab("start", *words, *taken, code=2)
    assert left("other") == ""
    flag = done.stderr.partition("start it with --set ")[2].partition(",")[0]
    assert flag.startswith("network.subnet=")
    steps = halab.json("plan", *words, "--set", flag)["steps"]
    assert len([step for step in steps if step["action"] == "boot"]) == 8


def test_a_foreign_container_of_the_same_name_is_never_touched(
    inside: Inside, halab: Cli, distribution: Distribution
) -> None:
    image = next(
        row["tag"] for row in halab.json("images", "list") if row["image"] == "loadbalancer"
    )
    docker("create", "--name", "halab-foreign-m", image)
    try:
        subnet = ("--set", "network.subnet=172.30.9.0/24")
        done = halab("start", "1m1w", "--name", "foreign", *subnet, *distribution.words, code=2)
        assert "halab-foreign-m exists" in done.stderr
        halab("destroy", "foreign")
        assert "halab-foreign-m" in docker("ps", "-a", "--format", "{{.Names}}")
    finally:
        docker("rm", "halab-foreign-m")


class TestSmallLab:
    """1m1w beside the reference lab: killed and interrupted starts, two at once, a port in use."""

    NAME = "e2e-small"

    def start(self, halab: Cli, distribution: Distribution) -> subprocess.Popen[str]:
        argv = [
            str(HALAB),
            "start",
            "1m1w",
            "--name",
            self.NAME,
            *BESIDE_OTHERS,
            *distribution.words,
        ]
        # CI's shell may have told its children to ignore ^C; a terminal's would not.
        return subprocess.Popen(
            argv,
            env=halab.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (no threads here)
        )

    def await_containers(self, count: int) -> None:
        begin = time.monotonic()
        while len(ids(self.NAME)) < count:
            assert time.monotonic() - begin < 60
            time.sleep(0.05)

    @pytest.fixture(autouse=True)
    def clean(self, halab: Cli):
        halab("destroy", self.NAME)
        yield
        halab("destroy", self.NAME)
        assert left(self.NAME) == ""

    def test_killed_start_is_completed_by_the_next_beside_another_lab(
        self, inside: Inside, halab: Cli, distribution: Distribution
    ) -> None:
        process = self.start(halab, distribution)
        self.await_containers(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        status = halab.json(
            "start", "1m1w", "--name", self.NAME, *BESIDE_OTHERS, *distribution.words
        )
        assert [row["kubernetes"] for row in status["nodes"] if row["role"] != "loadbalancer"] == [
            "Ready",
            "Ready",
        ]
        assert {row["name"] for row in halab.json("list")} >= {self.NAME, inside.lab}
        assert inside.status()["vip_holders"] != []

    def test_killed_start_is_removed_by_destroy(
        self, halab: Cli, distribution: Distribution
    ) -> None:
        process = self.start(halab, distribution)
        self.await_containers(2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        halab("destroy", self.NAME)
        assert left(self.NAME) == ""

    def test_interrupt_takes_back_what_it_made(
        self, halab: Cli, distribution: Distribution
    ) -> None:
        process = self.start(halab, distribution)
        self.await_containers(3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert left(self.NAME) == ""

    def test_the_second_of_two_starts_waits(self, halab: Cli, distribution: Distribution) -> None:
        first = self.start(halab, distribution)
        self.await_containers(1)
        second = halab("start", "1m1w", "--name", self.NAME, *BESIDE_OTHERS, *distribution.words)
        assert "another halab is working on this lab" in second.stderr
        assert first.wait(timeout=60) == 0

    def test_a_port_in_use_gives_the_next_one(self, halab: Cli, distribution: Distribution) -> None:
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            port = busy.getsockname()[1]
            found = halab.json(
                "start",
                "1m1w",
                "--name",
                self.NAME,
                *BESIDE_OTHERS,
                *distribution.words,
                "--set",
                f"loadbalancer.host_port={port}",
            )
            assert found["api"] != f"https://127.0.0.1:{port}"
            assert json.loads(
                halab("kubectl", self.NAME, "--", "get", "nodes", "-o", "json").stdout
            )["items"]


def test_destroy_leaves_nothing(halab: Cli) -> None:
    assert left("never-was") == ""
    halab("destroy", "never-was")
    assert not (
        Path(halab.environment["XDG_STATE_HOME"]) / "halab" / "never-was.kubeconfig"
    ).exists()
