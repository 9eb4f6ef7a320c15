"""How late the watch tells an event, and what it costs; on a lab that runs and may be broken.

bench/watch.py LAB [--times 7] [--pages 10]. Freezes the lab's load balancer for two seconds at a
time: each time, its addresses stop answering and answer again. The delay is that from the event's
own time, as the watch tells it, to the line of `halab watch LAB -o json` that has it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HALAB = str(Path(sys.executable).parent / "halab")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
FREEZE_S, PAUSE_S = 2.0, 3.0
COST_S = 20.0
TOLD = {"answer", "machine", "vip", "leader"}
"""Kinds of events whose time is that of the moment: an outage's is that of its first question."""


@dataclass
class Delays:
    """Reads a watch's lines, and notes how old each new event is when it comes."""

    process: subprocess.Popen[str]
    found: list[tuple[str, float]] = field(default_factory=list)
    states: int = 0

    def read(self) -> None:
        known: set[tuple[float, str]] = set()
        assert self.process.stdout
        for line in self.process.stdout:
            arrived, state = time.time(), json.loads(line)
            began = state["wall"] - state["now"]
            for entry in state["tape"]:
                name = (entry["t"], entry["text"])
                if self.states and name not in known and entry["what"] in TOLD:
                    self.found.append((entry["what"], arrived - began - entry["t"]))
                known.add(name)
            self.states += 1


@contextlib.contextmanager
def watch(lab: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    argv = [HALAB, "watch", lab, *words, "-o", "json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def cpu_s(process: subprocess.Popen[str]) -> float:
    """Return the processor time of a process so far (proc(5): utime and stime)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def cost(process: subprocess.Popen[str]) -> float:
    before = cpu_s(process)
    time.sleep(COST_S)
    return (cpu_s(process) - before) / COST_S


def freeze(lab: str, times: int) -> None:
    container = f"halab-{lab}-lb"
    for _ in range(times):
        subprocess.run(["docker", "pause", container], check=True, capture_output=True)
        time.sleep(FREEZE_S)
        subprocess.run(["docker", "unpause", container], check=True, capture_output=True)
        time.sleep(PAUSE_S)


def listen(address: str, received: list[int]) -> None:
    """Read a page's events as a browser does, until the watch ends."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc)
    token = url.fragment.partition("=")[2]
    connection.request("GET", "/events", headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    with contextlib.suppress(OSError, http.client.HTTPException):
        while text := answer.read1():
            received.append(len(text))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lab")
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--pages", type=int, default=10)
    chosen = parser.parse_args()
    with watch(chosen.lab) as process:
        delays = Delays(process)
        threading.Thread(target=delays.read, daemon=True).start()
        while not delays.states:
            time.sleep(0.1)
        time.sleep(PAUSE_S)
        print(f"a watch with -o json: {cost(process):.3f} cores")
        freeze(chosen.lab, chosen.times)
        time.sleep(PAUSE_S)
    for kind in sorted({kind for kind, _ in delays.found}):
        values = [delay for each, delay in delays.found if each == kind]
        median, worst = statistics.median(values), max(values)
        print(f"{kind}: {len(values)} events, told after {median:.3f} s (median), {worst:.3f} s")
    with watch(chosen.lab, "--web") as process:
        assert process.stdout
        address = json.loads(process.stdout.readline())["address"]
        received: list[int] = []
        for _ in range(chosen.pages):
            threading.Thread(target=listen, args=(address, received), daemon=True).start()
        time.sleep(PAUSE_S)
        received.clear()
        cores = cost(process)
        rate = sum(received) / COST_S / chosen.pages
        print(f"{chosen.pages} pages: {cores:.3f} cores, {rate:.0f} bytes a second each")


if __name__ == "__main__":
    main()
