"""Starts several 1m1w at the same moment, each by a process of its own, and prints a table.

bench/many.py [--labs N] [--timeout S] [--keep] [--set KEY=VALUE]… A lab needs some 600 MiB. All of
them are removed at the end, also after ^C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HALAB = str(Path(sys.executable).parent / "halab")
SETTINGS = ("network.subnet=auto", "loadbalancer.host_port=0")
FORMAT = "{{.Name}} {{range .IPAM.Config}}{{.Subnet}}{{end}}"


@dataclass
class Started:
    """A lab whose start has ended."""

    name: str
    seconds: float
    code: int
    status: dict[str, Any]
    error: str


def begin(name: str, settings: tuple[str, ...]) -> subprocess.Popen[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    argv = [HALAB, "-q", "start", "1m1w", "--name", name, *words, "-o", "json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def several(names: list[str], settings: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """Begin all starts; at the end end those that still run."""
    processes = [begin(name, settings) for name in names]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def await_all(
    names: list[str], processes: list[subprocess.Popen[str]], timeout_s: float
) -> list[Started]:
    begun = time.monotonic()
    ended: dict[str, float] = {}
    while len(ended) < len(names) and time.monotonic() - begun < timeout_s:
        for name, process in zip(names, processes, strict=True):
            if name not in ended and process.poll() is not None:
                ended[name] = time.monotonic() - begun
        time.sleep(0.1)
    found = []
    for name, process in zip(names, processes, strict=True):
        if name not in ended:
            process.kill()
        output, error = process.communicate()
        status = json.loads(output) if process.returncode == 0 else {}
        seconds = ended.get(name, timeout_s)
        found.append(Started(name, seconds, process.returncode, status, error.strip()))
    return found


def subnets(name: str) -> str:
    argv = [
        "docker",
        "network",
        "inspect",
        "-f",
        FORMAT,
        f"halab-{name}",
        f"halab-{name}-management",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return " ".join(line.split()[1] for line in done.stdout.splitlines())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--labs", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=600)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    chosen = parser.parse_args()
    names = [f"many-{os.getpid()}-{number}" for number in range(1, chosen.labs + 1)]
    load = Path("/proc/loadavg").read_text().split()[0]
    try:
        with several(names, (*SETTINGS, *chosen.settings)) as processes:
            labs = await_all(names, processes, chosen.timeout)
        print(f"{'lab':20} {'seconds':>8}  result  (load of the host before: {load})")
        for lab in labs:
            reason = lab.error.splitlines()[-1] if lab.error else f"exit code {lab.code}"
            told = lab.status.get("api") or reason
            print(f"{lab.name:20} {lab.seconds:8.1f}  {told}  {subnets(lab.name)}")
        up = sum(lab.code == 0 for lab in labs)
        print(
            f"{up} of {len(labs)} came up; the last after {max(lab.seconds for lab in labs):.1f} s"
        )
        return 0 if up == len(labs) else 1
    finally:
        for name in () if chosen.keep else names:
            subprocess.run([HALAB, "-q", "destroy", name], check=False)


if __name__ == "__main__":
    sys.exit(main())
