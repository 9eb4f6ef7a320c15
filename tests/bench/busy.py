"""Keeps the host busy beside an idle lab, and counts what the lab loses by it.

bench/busy.py LAB [--minutes 10] [--loops 8] [--second TOPOLOGY]. It runs empty loops at niceness 0
and watches the API through the load balancer on several connections. With --second, another lab is
started beside it, and removed at the end. All ends with this program, also after ^C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HALAB = str(Path(sys.executable).parent / "halab")
SECOND = f"busy-{os.getpid()}"
SETTINGS = ("--set", "network.subnet=auto", "--set", "loadbalancer.host_port=0")
CONNECTIONS = 6
"""Kept connections through the load balancer: with three masters two to each, on average."""
LOOK_EVERY_S = 5.0
CONNECTION = """
import json, sys, time
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
end = time.monotonic() + float(sys.argv[2])
api = client.CoreV1Api()
cuts = 0
while (left := end - time.monotonic()) > 1:
    try:
        kept = api.list_namespaced_config_map(
            "kube-system", watch=True, timeout_seconds=int(left), _preload_content=False)
        for _ in kept.stream():
            pass
        cuts += end - time.monotonic() > 5
    except Exception as error:
        cuts += 1
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        time.sleep(1)
print(cuts)
"""
"""A client that watches until its time is over, and prints how often the watch ended before."""


@dataclass
class Losses:
    """What a lab lost while its host was busy."""

    holders: list[str] = field(default_factory=list)
    """The VIP's holders one after another; one of them: it never moved."""
    cut: int = 0
    fencings: list[str] = field(default_factory=list)
    tokens_late: int = 0
    processors_failed: int = 0
    answers_missing: int = 0
    """Looks at the lab that told no holder."""


def ask(*words: str) -> dict[str, Any]:
    done = subprocess.run([HALAB, "-q", *words, "-o", "json"], capture_output=True, check=False)
    answer = json.loads(done.stdout or "{}")
    return answer if isinstance(answer, dict) else {}


@contextlib.contextmanager
def loops(number: int) -> Iterator[None]:
    begun = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for loop in begun:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def connections(lab: str, seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    printed = subprocess.run(
        [HALAB, "-q", "kubeconfig", lab], capture_output=True, text=True, check=True
    )
    with tempfile.NamedTemporaryFile("w", suffix=".kubeconfig") as kubeconfig:
        kubeconfig.write(printed.stdout)
        kubeconfig.flush()
        argv = [sys.executable, "-c", CONNECTION, kubeconfig.name, str(seconds)]
        begun = [
            subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(CONNECTIONS)
        ]
        try:
            yield begun
        finally:
            for connection in begun:
                connection.kill()
                connection.wait()


def corosync_lines(lab: str, master: str, since: float, pattern: str) -> int:
    argv = ["journalctl", "-q", "--no-pager", "-o", "cat", "-u", "corosync"]
    argv += ["--since", f"@{since:.0f}", "-g", pattern]
    done = subprocess.run(
        [HALAB, "-q", "exec", lab, master, "--", *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(not line.startswith("-- ") for line in done.stdout.splitlines())


def observe(lab: str, seconds: float) -> Losses:
    losses = Losses()
    begun = time.time()
    masters: list[str] = []
    with connections(lab, seconds) as kept:
        while time.time() - begun < seconds:
            status = ask("status", lab)
            masters = [n["name"] for n in status.get("nodes", []) if n["role"] == "master"]
            holders = "+".join(status.get("vip_holders", []))
            if not holders:
                losses.answers_missing += 1
            elif losses.holders[-1:] != [holders]:
                losses.holders.append(holders)
            losses.fencings = [
                f"{fencing['node']} at {fencing['at']}"
                for fencing in status.get("fencings", [])
                if fencing["at"] > begun
            ]
            time.sleep(LOOK_EVERY_S)
        for connection in kept:
            output, _ = connection.communicate(timeout=60)
            losses.cut += int(output or 0)
    for master in masters:
        losses.tokens_late += corosync_lines(lab, master, begun, "Token has not been received")
        losses.processors_failed += corosync_lines(lab, master, begun, "A processor failed")
    return losses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--loops", type=int, default=8)
    parser.add_argument("--second", help="topology of another lab that is started meanwhile")
    chosen = parser.parse_args()
    second: subprocess.Popen[bytes] | None = None
    try:
        with loops(chosen.loops):
            if chosen.second:
                argv = [HALAB, "-q", "start", chosen.second, "--name", SECOND, *SETTINGS]
                second = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            losses = observe(chosen.lab, chosen.minutes * 60)
            load = Path("/proc/loadavg").read_text().split()[1]
    finally:
        if second is not None:
            second.terminate()
            print(f"the second lab's start ended with {second.wait()}")
            subprocess.run([HALAB, "-q", "destroy", SECOND], check=False)
    print(f"{chosen.minutes:g} minutes, {chosen.loops} loops, load (5 minutes) {load}")
    print(f"fencings: {len(losses.fencings)} {losses.fencings}")
    print(f"VIP: {' → '.join(losses.holders)}; no answer {losses.answers_missing} times")
    print(f"connections cut, of {CONNECTIONS} kept: {losses.cut}")
    print(f"Token has not been received: {losses.tokens_late}")
    print(f"A processor failed: {losses.processors_failed}")
    return 1 if losses.fencings or losses.cut or len(losses.holders) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
