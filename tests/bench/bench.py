"""Measures what users feel, with the installed halab, and prints a table.

`make bench`, or bench.py [--runs N] [--quick]. Failover is measured on a fixed schedule: a request
every 20 ms on a new connection, each in its own thread, so that a slow answer does not delay the
next question. Traffic goes to the lab's own bridge only: the route is checked before the first
packet.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

HALAB = str(Path(sys.executable).parent / "halab")
INTERVAL_S, TIMEOUT_S, QUIET_S = 0.02, 1.0, 5
NAME = "bench"


def halab(*words: str) -> float:
    """Run halab; returns the seconds it took."""
    begin = time.monotonic()
    done = subprocess.run([HALAB, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"halab {' '.join(words)}: {done.stderr[-2000:]}")
    return time.monotonic() - begin


def answer(*words: str) -> Any:
    return json.loads(
        subprocess.run(
            [HALAB, *words, "-o", "json"], capture_output=True, text=True, check=True
        ).stdout
    )


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


@dataclass
class Prober:
    """Asks on a fixed schedule, on a new connection each time.

    First /version (any API server that lives answers), then /readyz (etcd answers, too). An outage
    is the time from the last good answer before a gap to the first good one after. Answers count
    when they come, not when they were asked for: a question that waits for the new holder's ARP is
    no proof of an API.
    """

    host: str
    port: int
    gateway: str
    answers: dict[str, list[float]] = field(default_factory=lambda: {"/version": [], "/readyz": []})
    stop: threading.Event = field(default_factory=threading.Event)
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def check_route(self) -> None:
        """Raise unless packets to the target leave by the lab's bridge.

        A connected UDP socket tells, and sends none.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.host, self.port))
            if probe.getsockname()[0] != self.gateway:
                raise SystemExit(f"{self.host} is not reached by the lab's bridge")
        # Time is measured here; e2e tests prove the certificate.
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def _ask(self) -> None:
        try:
            with (
                socket.create_connection((self.host, self.port), TIMEOUT_S) as raw,
                self.context.wrap_socket(raw) as tls,
            ):
                for path, seen in self.answers.items():
                    tls.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    if tls.recv(65536).startswith(b"HTTP/1.1 200"):
                        seen.append(time.monotonic())
        except OSError:
            pass

    def run(self) -> None:
        begin, number = time.monotonic(), 0
        while not self.stop.is_set():
            time.sleep(max(0, begin + number * INTERVAL_S - time.monotonic()))
            threading.Thread(target=self._ask, daemon=True).start()
            number += 1

    def outage(self, path: str) -> float:
        return max(
            (b - a for a, b in itertools.pairwise(sorted(self.answers[path]))), default=float("inf")
        )


def failover(kill: str, host: str, port: int, gateway: str) -> dict[str, float]:
    """Kill a node while its address is asked; returns the outages in seconds (resolution 20 ms)."""
    prober = Prober(host, port, gateway)
    prober.check_route()
    thread = threading.Thread(target=prober.run)
    thread.start()
    time.sleep(1.5)
    docker("kill", f"halab-{NAME}-{kill}")
    time.sleep(6)
    prober.stop.set()
    thread.join()
    time.sleep(TIMEOUT_S)
    return {path: prober.outage(path) for path in prober.answers}


def memory_and_cpu() -> tuple[float, float]:
    """Return the lab's memory in GiB and its CPU in cores, the latter over 30 s."""
    names = docker("ps", "--filter", f"label=halab.lab={NAME}", "--format", "{{.Names}}").split()
    rows = [
        json.loads(line)
        for line in docker("stats", "--no-stream", "--format", "{{json .}}", *names).splitlines()
    ]
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    used = sum(
        float(row["MemUsage"].split()[0][:-3]) * units[row["MemUsage"].split()[0][-3:]]
        for row in rows
    )
    looks = [
        docker("stats", "--no-stream", "--format", "{{.CPUPerc}}", *names).split()
        for _ in range(12)
    ]
    shares = [sum(float(share.rstrip("%")) for share in look) for look in looks]
    return used / 2**30, statistics.mean(shares) / 100


def lives(runs: int, note: Callable[[str, float], None]) -> None:
    """Start, stop and destroy labs."""
    for _ in range(runs):
        note("start 1m1w (s)", halab("start", "1m1w", "--name", NAME))
        note("destroy 1m1w (s)", halab("destroy", NAME))
    for number in range(runs):
        note("start 3m3w (s)", halab("start", "3m3w", "--name", NAME, "--set", "ha.token=400ms"))
        if number == 0:
            time.sleep(60)
            used, cpu = memory_and_cpu()
            note("idle memory (GiB)", used)
            note("idle CPU (cores)", cpu)
        note("stop (s)", halab("stop", NAME))
        note("start again, everything ready (s)", halab("start", NAME))
        if number < runs - 1:
            note("destroy (s)", halab("destroy", NAME))


def kills(count: int, note: Callable[[str, float], None]) -> None:
    """Kill the VIP's holder: watched through the VIP, then a third as often by the balancer."""
    for number in range(count + max(1, count // 3)):
        status = answer("status", NAME)
        victim = status["vip_holders"][0]
        if number < count:
            way, place = "VIP", ("172.30.0.50", 6443, "172.30.0.1")
        else:
            port = int(status["api"].rsplit(":", 1)[1])
            way, place = "load balancer", ("127.0.0.1", port, "127.0.0.1")
        for path, outage in failover(victim, *place).items():
            what = f"{way} outage of {path} after docker kill of the holder, token 400 (s)"
            note(what, outage)
        halab("start", NAME)
        time.sleep(QUIET_S)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--only-kills", action="store_true")
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}

    def note(what: str, value: float) -> None:
        rows.setdefault(what, []).append(round(value, 2))
        print(f"  {what}: {value:.2f}", file=sys.stderr, flush=True)

    halab("destroy", NAME)
    if options.only_kills:
        options.runs = 0
        halab("start", "3m3w", "--name", NAME, "--set", "ha.token=400ms")
    note("halab --help (s)", halab("--help"))
    lives(options.runs, note)
    kills(options.kills, note)
    halab("destroy", NAME)
    print(f"{'what':84} {'median':>8} {'worst':>8}  runs")
    for what, values in rows.items():
        print(f"{what:84} {statistics.median(values):8.2f} {max(values):8.2f}  {values}")


if __name__ == "__main__":
    main()
