"""How a lab's cost grows with its nodes: start, destroy, memory, idle processor; a table.

bench/growth.py [--nodes 1,3,6,10,16] [--runs N] [--idle S] [--distribution D]

One and three nodes are masters alone, more have three masters. The topologies are written to a
temporary folder. The lab is called `kadm-growth`, and is removed at the end, also after ^C.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from ipaddress import IPv4Network
from pathlib import Path

import resources
from halab_command import timed

LAB = "kadm-growth"
SUBNET = "172.31.241.0/24"
MASTERS = 3
VIP, BALANCER, FIRST = 50, 40, 100
SETTLE_S = 30
COLUMNS = ("start (s)", "destroy (s)", "memory (GiB)", "idle CPU (cores)")


def shape(nodes: int) -> tuple[int, int]:
    """Return how many masters and workers that many nodes are."""
    masters = MASTERS if nodes >= MASTERS else 1
    return masters, nodes - masters


def topology(nodes: int, subnet: str) -> str:
    """Return a topology file of that many nodes."""
    network = IPv4Network(subnet)
    masters, workers = shape(nodes)
    roles = {f"m{number}": "master" for number in range(1, masters + 1)}
    roles |= {f"w{number}": "worker" for number in range(1, workers + 1)}
    lines = ["version: 1", f"name: {LAB}", "network:", f"  subnet: {network}"]
    lines += [f"  vip: {network[VIP]}", "nodes:"]
    lines += [
        f"  {name}: {{role: {role}, ip: {network[FIRST + number]}}}"
        for number, (name, role) in enumerate(roles.items())
    ]
    lines += ["loadbalancer:", f"  ip: {network[BALANCER]}", "  host_port: 0"]
    return "\n".join([*lines, ""])


def measure(file: Path, distribution: str, idle_s: float) -> list[float]:
    """Return a lab's figures, in the order of COLUMNS."""
    started = timed("start", str(file), "--distribution", distribution)
    time.sleep(SETTLE_S if idle_s else 0)
    usage = resources.used(f"halab.lab={LAB}", idle_s) if idle_s else resources.Usage(0, 0)
    return [started, timed("destroy", LAB), usage.gib, usage.cores]


def table(measured: dict[int, list[list[float]]]) -> str:
    """Return the medians: a row for each number of nodes."""
    lines = [f"{'nodes':>5} {'shape':>7} " + " ".join(f"{name:>17}" for name in COLUMNS)]
    for nodes, runs in measured.items():
        masters, workers = shape(nodes)
        middle = [statistics.median(values) for values in zip(*runs, strict=True)]
        figures = " ".join(f"{value:17.2f}" for value in middle)
        lines.append(f"{nodes:5} {f'{masters}m{workers}w':>7} {figures}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", default="1,3,6,10,16")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--idle", type=float, default=30, help="seconds; 0: look at no use")
    parser.add_argument("--distribution", default="upstream")
    parser.add_argument("--subnet", default=SUBNET)
    chosen = parser.parse_args()
    sizes = [int(number) for number in chosen.nodes.split(",")]
    measured: dict[int, list[list[float]]] = {nodes: [] for nodes in sizes}
    for one in (signal.SIGTERM, signal.SIGINT):  # also where the shell has it ignored
        signal.signal(one, signal.default_int_handler)
    timed("destroy", LAB)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for nodes in sizes * chosen.runs:
                file = Path(folder) / f"{nodes}.yaml"
                file.write_text(topology(nodes, chosen.subnet))
                load = os.getloadavg()[0]
                measured[nodes].append(measure(file, chosen.distribution, chosen.idle))
                print(
                    f"  {nodes} nodes, load before {load:.1f}: {measured[nodes][-1]}",
                    file=sys.stderr,
                )
    finally:
        timed("destroy", LAB)
    print(table(measured))


if __name__ == "__main__":
    main()
