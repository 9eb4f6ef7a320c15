"""Faults on the reference lab.

Each acts and says how it knows, heals, and leaves nothing behind.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from labs import HALAB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labs import Cli, Distribution, Inside


NODES = ("m", "m2", "m3", "w1", "w2", "w3", "lb")
TRACES = r"""
nft list tables 2>/dev/null | grep halab
iptables-save 2>/dev/null | grep -v KUBE | grep -i -e halab -e NFQUEUE
tc qdisc show dev eth0 root | grep 1a1b
tc qdisc show | grep clsact
ip -o link | grep -e halab- -e peer-
ip -4 route show dev eth0
ip -4 route show dev mgmt0 2>/dev/null
find /var/lib/halab/faults /var/tmp /dev/fuse ! -type d ! -name "*.healed" 2>/dev/null
find /var/lib/etcd/data /var/lib/rancher/k3s/server/db -name 'halab*' 2>/dev/null
grep fuse.halab /proc/mounts
systemctl list-units --all --no-legend --plain 'halab-*' | grep -v -e halab-init
ps -eo stat=,comm= | grep -e '^T' -e halab-delay -e halab-disk -e halab-skew
cat /sys/fs/cgroup/cpu*/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null
true
"""
"""What a fault may leave on a node: rules, queueing disciplines, interfaces, routes, records,
files, mounts, units, processes, limits."""


def traces(inside: Inside) -> dict[str, str]:
    with ThreadPoolExecutor(len(NODES)) as pool:
        return dict(
            zip(
                NODES,
                pool.map(lambda node: inside.run(node, "sh", "-c", TRACES), NODES),
                strict=True,
            )
        )


def host() -> dict[str, str]:
    """What a fault may leave on the host: rules of our names, mounts, loop devices, helpers.

    Helpers are containers. Others' labs come and go meanwhile.
    """

    def lines(argv: list[str], *words: str) -> str:
        if shutil.which(argv[0]) is None:
            return ""
        output = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        return "\n".join(
            line for line in output.splitlines() if any(word in line for word in words)
        )

    return {
        "iptables": lines(["iptables-save"], "halab-", "NFQUEUE"),
        "nft": lines(["nft", "list", "tables"], "halab"),
        "mounts": "\n".join(
            line for line in Path("/proc/mounts").read_text().splitlines() if "halab-disk" in line
        ),
        "links": lines(["ip", "-o", "link"], "halab-", "peer-"),
        "loop": lines(["losetup", "-a"], "halab"),
    }


def wait_whole(inside: Inside) -> None:
    def whole() -> bool:
        status = inside.status()
        nodes = [row for row in status["nodes"] if row["role"] != "loadbalancer"]
        good = all(
            row["kubernetes"] == "Ready" and row["etcd"] in {"leader", "follower", "-"}
            for row in nodes
        )
        return good and len(status["vip_holders"]) == 1 and not status["faults"]

    inside.eventually("the lab is whole again", whole, 300)


FAULTS = [
    (("crash", "w1"), ("power-cut", "w2"), ("hang", "w3"), ("hang", "lb")),
    (("reboot", "w1"), ("stop", "w2"), ("crash", "role:loadbalancer")),
    (
        ("service-stop", "w1", "unit=kubelet"),
        ("service-kill", "@leader", "unit=etcd", "whom=all"),
        ("service-hang", "w3", "unit=containerd"),
        ("service-hang", "lb", "unit=nginx"),
        ("service-stop", "w2", "unit=flannel"),
    ),
    (
        ("service-hang", "m2", "unit=corosync"),
        ("service-kill", "m3", "unit=pacemaker"),
        ("service-stop", "m", "unit=apiserver"),
    ),
    (
        ("partition", "w1"),
        ("partition", "w2", "from=masters", "way=in", "port=api"),
        ("partition", "minority,w3", "from=rest"),
    ),
    (("partition", "role:master", "shape=ring"),),
    # As on a kernel without nftables' hook at the way out.
    (
        ("partition", "w1", "means=tc"),
        ("partition", "w2", "from=masters", "port=api", "means=tc"),
        ("bmc-unreachable", "m3", "means=tc"),
        ("power-cut", "w3", "means=tc"),
        ("partition", "lb"),
    ),
    (
        ("loss", "m2", "percent=5"),
        ("rate", "w3", "rate=1mbit"),
        ("latency", "m", "delay=60ms", "jitter=5ms"),
    ),
    (
        ("corrupt", "w1", "percent=10"),
        ("reorder", "w2"),
        ("cpu", "w3", "cores=0.1"),
        ("memory", "w2", "spare=24m"),
    ),
    (("disk-slow", "m3", "fsync=100ms"), ("disk-full", "m2"), ("bmc-unreachable", "m")),
    (("nic-down", "w1"), ("nic-down", "lb"), ("nic-down", "m2", "device=mgmt0")),
    (
        ("vip-lost", "@vip-holder"),
        ("clock-skew", "m", "unit=apiserver", "by=-5m"),
        ("clock-skew", "w1", "unit=kubelet", "by=+1h"),
    ),
]
"""Each group is injected one after the other, then stands together for a moment, and is healed at
once: whole, and in the right order."""


@pytest.mark.parametrize(
    "group", FAULTS, ids=["+".join(dict.fromkeys(fault[0] for fault in group)) for group in FAULTS]
)
def test_faults_act_heal_and_leave_nothing(
    inside: Inside, halab: Cli, group: tuple[tuple[str, ...], ...]
) -> None:
    before, around = traces(inside), host()
    try:
        for fault, target, *options in group:
            words = [word for option in options for word in ("--set", option)]
            done = halab.json("fault", "inject", inside.lab, fault, target, *words)
            assert done["healed"] is False
            assert all(effect["proof"] for effect in done["effects"])
    finally:
        halab("fault", "heal", inside.lab)
    wait_whole(inside)
    assert traces(inside) == before
    assert host() == around


def test_two_faults_of_one_node_heal_in_the_right_order_also_when_it_dies_meanwhile(
    inside: Inside, halab: Cli
) -> None:
    before = traces(inside)
    try:
        halab("fault", "inject", inside.lab, "latency", "w1")
        halab("fault", "inject", inside.lab, "service-stop", "w1", "--set", "unit=kubelet")
        halab("fault", "inject", inside.lab, "partition", "w1")
        assert [
            hit["fault"] for hit in halab.json("fault", "heal", inside.lab, "partition")["healed"]
        ] == ["partition"]
        halab("fault", "inject", inside.lab, "crash", "w1")
        on = {row["fault"] for row in halab.json("fault", "list", inside.lab)["active"]}
        assert on == {"latency", "service-stop", "crash"}
    finally:
        halab("fault", "heal", inside.lab)
    wait_whole(inside)
    assert traces(inside) == before


def test_a_second_holder_of_the_vip_is_seen(inside: Inside, halab: Cli) -> None:
    holder = inside.status()["vip_holders"][0]
    other = next(node for node in ("m", "m2", "m3") if node != holder)
    halab("fault", "inject", inside.lab, "vip-doubled", other)
    try:
        assert set(inside.status()["vip_holders"]) == {holder, other}
    finally:
        halab("fault", "heal", inside.lab)
    assert inside.status()["vip_holders"] == [holder]
    ask = (
        "curl",
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        "3",
        f"https://{inside.status()['vip']}:6443/readyz",
    )
    for worker in ("w1", "w2", "w3"):  # nobody goes on believing the false claim
        assert inside.run(worker, *ask) in {"200", "401"}


def test_a_master_that_accepts_and_cannot_serve_gets_no_turn(
    inside: Inside, halab: Cli, distribution: Distribution
) -> None:
    victim = inside.status()["nodes"][1]
    unit = {"upstream": "apiserver", "k3s": "k3s"}[distribution.name]

    def out() -> list[str]:
        rows = inside.run("lb", "cat", "/etc/halab/upstream.conf").splitlines()
        return [row for row in rows if " down;" in row]

    assert out() == []
    try:
        with watches_through_the_load_balancer(inside, halab, victim["ip"]) as held:
            halab(
                "fault",
                "inject",
                inside.lab,
                "service-hang",
                victim["name"],
                "--set",
                f"unit={unit}",
            )
            inside.eventually(
                "the load balancer passes it over",
                lambda: len(out()) == 1 and victim["ip"] in out()[0],
                60,
            )
            # Its kernel answers keepalive probes: they alone would never end. The balancer waits
            # 30 s (tests/unit/nodes/test_balance.py).
            inside.eventually("who was connected to it is let go", lambda: not held(), 90)
        assert f"{victim['name']} does not serve" in inside.run(
            "lb", "journalctl", "-u", "halab-balance", "--no-pager"
        )
        assert all(inside.kubectl("get", "--raw", "/readyz") == "ok" for _ in range(6))
    finally:
        halab("fault", "heal", inside.lab)
    inside.eventually("it has its turns again", lambda: out() == [], 120)
    wait_whole(inside)


@contextmanager
def watches_through_the_load_balancer(
    inside: Inside, halab: Cli, ip: str
) -> Iterator[Callable[[], bool]]:
    """Connections that are silent for minutes, some of them to the master of this address.

    Returns a function that tells whether it has any.
    """

    def held() -> bool:
        return bool(
            inside.run(
                "lb", "ss", "-Htn", "state", "established", "dst", ip, "dport", "=", ":6443"
            ).strip()
        )

    argv = [str(HALAB), "kubectl", inside.lab, "--", "get", "nodes", "--watch"]
    watchers = [
        subprocess.Popen(
            argv, env=halab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(6)
    ]
    try:
        inside.eventually("a watch goes to it", held, 30)
        yield held
    finally:
        for watcher in watchers:
            watcher.terminate()
            watcher.wait()


def test_the_load_balancer_lets_go_of_a_master_that_vanished(inside: Inside, halab: Cli) -> None:
    victim = inside.status()["nodes"][2]
    with watches_through_the_load_balancer(inside, halab, victim["ip"]) as held:
        try:
            halab("fault", "inject", inside.lab, "power-cut", victim["name"])
            # Of itself kubectl notices after 45 s (client-go asks a silent connection after 30 s,
            # and waits 15 s), other clients never.
            inside.eventually("the load balancer ends them", lambda: not held(), 30)
        finally:
            halab("fault", "heal", inside.lab)
    wait_whole(inside)


def test_the_list_says_what_this_host_has(inside: Inside, halab: Cli) -> None:
    rows = {row["name"]: row for row in halab.json("fault", "list", inside.lab)["faults"]}
    assert rows["crash"]["here"] is True
    assert all(row["here"] == (not row["not_here"]) for row in rows.values())
    assert "HERE" in halab("fault", "list", inside.lab).stdout


def test_a_fault_outlives_its_injector_and_any_process_heals_it(inside: Inside, halab: Cli) -> None:
    argv = [str(HALAB), "fault", "inject", inside.lab, "hang", "w2", "--for", "600s"]
    injector = subprocess.Popen(
        argv, env=halab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
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
    inside.eventually(
        "the fault is on", lambda: inside.status()["faults"] == ["partition at w1"], 30
    )
    time.sleep(0.5)
    injector.send_signal(signal.SIGINT)
    assert injector.wait(30) != 0
    wait_whole(inside)


def test_a_partitioned_minority_is_fenced_and_loses_the_vip(inside: Inside, halab: Cli) -> None:
    holder = inside.status()["vip_holders"][0]
    halab("fault", "inject", inside.lab, "partition", holder)
    try:
        inside.eventually(
            "the majority shoots it",
            lambda: (
                {row["name"]: row["state"] for row in inside.status()["nodes"]}[holder] == "exited"
            ),
            60,
        )
        inside.eventually(
            "another master holds the VIP",
            lambda: inside.status()["vip_holders"] not in ([], [holder]),
            60,
        )
        inside.eventually("the API answers by it", lambda: inside.api(inside.status()["vip"]), 60)
    finally:  # the rules are gone with its last life; healing powers it on
        halab("fault", "heal", inside.lab)
    wait_whole(inside)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("crsh", "w1"), "crash"),
        (("crash", "w9"), "no node"),
        (("loss", "w1", "--set", "percent=200"), "percent"),
        (("loss", "w1", "--set", "share=1"), "share"),
        (("service-stop", "w1"), "unit"),
        (("service-stop", "w1", "--set", "unit=nonsense"), "nonsense"),
        (("partition", "w1", "--set", "from=nobody"), "nobody"),
        (("crash", "w1", "--for", "soon"), "soon"),
        (("vip-lost", "w1"), "VIP"),
        (("partition", "w1", "--set", "shape=ring"), "master"),
        (("disk-full", "w1"), "master"),
        (("clock-skew", "m", "--set", "by=1s"), "by=1s"),
        (("latency", "w1", "--set", "delay=x"), "delay"),
        (("vip-doubled", "@vip-holder"), "VIP"),
        (("loss", "lb"), "nft"),
    ],
)
def test_nonsense_changes_nothing(inside: Inside, words: tuple[str, ...], hint: str) -> None:
    done = subprocess.run(
        [str(HALAB), "fault", "inject", inside.lab, *words],
        capture_output=True,
        text=True,
        check=False,
        env=inside.cli.environment,
    )
    assert done.returncode in {1, 2}
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    assert inside.status()["faults"] == []
