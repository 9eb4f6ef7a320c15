"""Faults on the reference lab: each acts and says how it knows, heals, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from labs import HALAB

if TYPE_CHECKING:
    from labs import Cli, Inside


def traces(inside: Inside, node: str) -> str:
    """What a fault may leave on a node: rules, queueing disciplines, records, processes that stand still."""
    ask = (
        "nft list tables | grep halab; tc qdisc show dev eth0 | grep 1a1b; ls /var/lib/halab/faults 2>/dev/null; "
        "ps -eo stat,comm | grep '^T'; cat /sys/fs/cgroup/cpu*/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true"
    )
    return inside.run(node, "sh", "-c", ask)


def wait_whole(inside: Inside) -> None:
    def whole() -> bool:
        status = inside.status()
        nodes = [row for row in status["nodes"] if row["role"] != "loadbalancer"]
        good = all(row["kubernetes"] == "Ready" and row["etcd"] in {"leader", "follower", "-"} for row in nodes)
        return good and len(status["vip_holders"]) == 1 and not status["faults"]

    inside.eventually("the lab is whole again", whole, 180)


FAULTS = [
    ("crash", "w1", ()),
    ("power-cut", "w2", ()),
    ("hang", "w3", ()),
    ("reboot", "w1", ()),
    ("stop", "w2", ()),
    ("service-stop", "w1", ("unit=kubelet",)),
    ("service-kill", "@leader", ("unit=etcd",)),
    ("service-hang", "w3", ("unit=containerd",)),
    ("partition", "w1", ()),
    ("partition", "w2", ("from=masters", "way=in", "port=api")),
    ("loss", "m2", ("percent=5",)),
    ("rate", "w3", ("rate=1mbit",)),
    ("cpu", "m3", ("cores=0.3",)),
    ("vip-lost", "@vip-holder", ()),
]


@pytest.mark.parametrize(("fault", "target", "options"), FAULTS, ids=[f"{fault}-{target}" for fault, target, _ in FAULTS])
def test_a_fault_acts_heals_and_leaves_nothing(inside: Inside, halab: Cli, fault: str, target: str, options: tuple[str, ...]) -> None:
    before = {node: traces(inside, node) for node in ("m", "m2", "m3", "w1", "w2", "w3")}
    words = [word for option in options for word in ("--set", option)]
    done = halab.json("fault", "inject", inside.lab, fault, target, *words, "--for", "500ms")
    assert done["healed"] is True
    assert all(effect["proof"] for effect in done["effects"])
    wait_whole(inside)
    assert {node: traces(inside, node) for node in before} == before


def test_a_fault_outlives_its_injector_and_any_process_heals_it(inside: Inside, halab: Cli) -> None:
    argv = [str(HALAB), "fault", "inject", inside.lab, "hang", "w2", "--for", "600s"]
    injector = subprocess.Popen(argv, env=halab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    inside.eventually("the fault is on", lambda: inside.status()["faults"] == ["hang at w2"], 30)
    injector.send_signal(signal.SIGKILL)
    injector.wait()
    assert "hang at w2" in halab("status", inside.lab).stdout
    assert [hit["fault"] for hit in halab.json("fault", "heal", inside.lab)["healed"]] == ["hang"]
    assert halab.json("fault", "heal", inside.lab)["healed"] == []
    wait_whole(inside)


def test_interrupting_the_hold_heals(inside: Inside, halab: Cli) -> None:
    argv = [str(HALAB), "fault", "inject", inside.lab, "partition", "w1", "--for", "600s"]
    injector = subprocess.Popen(
        argv, env=halab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 (CI's shell may ignore ^C)
    )  # fmt: skip
    inside.eventually("the fault is on", lambda: inside.status()["faults"] == ["partition at w1"], 30)
    time.sleep(0.5)
    injector.send_signal(signal.SIGINT)
    assert injector.wait(30) != 0
    wait_whole(inside)


def test_a_partitioned_minority_loses_the_vip_and_its_quorum(inside: Inside, halab: Cli) -> None:
    holder = inside.status()["vip_holders"][0]
    halab("fault", "inject", inside.lab, "partition", holder)
    try:
        inside.eventually("another master holds the VIP", lambda: inside.status()["vip_holders"] not in ([], [holder]), 60)
        inside.eventually("the API answers by it", lambda: inside.api("172.30.0.50"), 60)
        inside.eventually("the minority knows it", lambda: "WITHOUT quorum" in inside.run(holder, "crm_mon", "-1"), 60)
        inside.eventually("the minority let the VIP go", lambda: holder not in inside.status()["vip_holders"], 60)
    finally:
        halab("fault", "heal", inside.lab)
    wait_whole(inside)


@pytest.mark.parametrize(
    ("words", "hint"),
    [(("crsh", "w1"), "crash"), (("crash", "w9"), "no node"), (("loss", "w1", "--set", "percent=200"), "percent"),
     (("loss", "w1", "--set", "share=1"), "share"), (("service-stop", "w1"), "unit"), (("service-stop", "w1", "--set", "unit=nonsense"), "nonsense"),
     (("partition", "w1", "--set", "from=nobody"), "nobody"), (("crash", "w1", "--for", "soon"), "soon"), (("vip-lost", "w1"), "VIP"),
     (("loss", "lb"), "nft")],
)  # fmt: skip
def test_nonsense_changes_nothing(inside: Inside, words: tuple[str, ...], hint: str) -> None:
    done = subprocess.run(
        [str(HALAB), "fault", "inject", inside.lab, *words], capture_output=True, text=True, check=False, env=inside.cli.environment
    )
    assert done.returncode in {1, 2}
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert inside.status()["faults"] == []
