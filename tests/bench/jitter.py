"""Measures how well the instrument keeps its schedule on a lab that is left alone.

bench/jitter.py LAB [--runs N]; prints a table.

Slip: the seconds from the moment at which a question was due to the moment at which it was asked.
Beside it, as an anchor, a bare sleeper on the host with a schedule of 20 ms in the same minute:
what the machine itself withholds from everybody. Probes' processor time, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HALAB = str(Path(sys.executable).parent / "halab")
INTERVAL_S = 0.02
QUIET = """name: quiet
steps:
  - {wait: 60s}
expect: [steady]
"""


@dataclass
class Sleeper:
    """Sleeps on a fixed schedule in a thread of its own.

    Keeps by how much it woke too late, in seconds.
    """

    slips: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def sleep(self) -> None:
        due = time.monotonic()
        while not self.stop.is_set():
            due += INTERVAL_S
            time.sleep(max(0.0, due - time.monotonic()))
            self.slips.append(time.monotonic() - due)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def run(lab: str) -> tuple[dict[str, Any], list[float]]:
    """Leave the lab alone for a minute, measured.

    Returns the instrument's own statistics and the sleeper's slips.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quiet.yaml")
        path.write_text(QUIET)
        sleeper = Sleeper()
        thread = threading.Thread(target=sleeper.sleep)
        thread.start()
        try:
            done = subprocess.run(
                [HALAB, "scenario", "run", lab, str(path), "-o", "json"],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            sleeper.stop.set()
            thread.join()
    if done.returncode not in {0, 4, 5}:
        raise SystemExit(
            f"halab scenario run {lab} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    place = Path(json.loads(done.stdout)["runs"][0]["folder"])
    return json.loads((place / "instruments.json").read_text()), sleeper.slips


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lab")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    load = Path("/proc/loadavg").read_text().split()[0]
    print(f"slips in ms; {os.cpu_count()} processors, load {load}")
    print(
        f"{'questions':>9} {'median p50':>10} {'median p99':>10} {'worst p99':>10} "
        f"{'not asked':>9} {'sleeper p99':>11} {'CPU a probe':>11}"
    )
    for _ in range(chosen.runs):
        seen, slips = run(chosen.lab)
        jobs = [job for job in seen["jobs"].values() if job["asked"]]
        middle, tail = ([job[key] * 1000 for job in jobs] for key in ("slip_p50", "slip_p99"))
        share = seen["cpu"] / (len(slips) * INTERVAL_S) / len(jobs)
        skipped = sum(job["skipped"] for job in jobs)
        print(
            f"{sum(job['asked'] for job in jobs):9} {statistics.median(middle):10.2f} "
            f"{statistics.median(tail):10.2f} {max(tail):10.2f} "
            f"{skipped:9} {p99(slips) * 1000:11.2f} {share:11.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
