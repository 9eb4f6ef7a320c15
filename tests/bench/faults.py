"""Measures faults: from firing to effect, and healing; prints a table.

bench/faults.py LAB [--runs N], on a lab that runs and is whole.

Effect: what `halab fault inject` says: for a crash the moment at which the engine saw the last
process end, else the moment of the proof. Heal: from the first call to the last, records taken
back; for a crash that is powering the machine on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HALAB = str(Path(sys.executable).parent / "halab")
CASES = [
    ("crash", ()),
    ("hang", ()),
    ("partition", ()),
    ("power-cut", ()),
    ("loss", ("percent=20",)),
    ("latency", ("delay=50ms", "jitter=0ms")),
]
QUIET_S = 4


def inject(lab: str, fault: str, target: str, options: tuple[str, ...]) -> Any:
    words = [word for option in options for word in ("--set", option)]
    argv = [HALAB, "fault", "inject", lab, fault, target, *words, "--for", "1s", "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lab")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--target", default="@random-worker")
    chosen = parser.parse_args()
    load = Path("/proc/loadavg").read_text().split()[0]
    print(
        f"{'fault':12} {'effect ms: median':>18} {'worst':>7} "
        f"{'heal ms: median':>16} {'worst':>7}  (load of the host: {load})"
    )
    for fault, options in CASES:
        effects, heals = [], []
        for _ in range(chosen.runs):
            done = inject(chosen.lab, fault, chosen.target, options)
            effects += [effect["seconds"] * 1000 for effect in done["effects"]]
            heals.append(done["heal_seconds"] * 1000)
            time.sleep(QUIET_S)
        print(
            f"{fault:12} {statistics.median(effects):18.0f} {max(effects):7.0f} "
            f"{statistics.median(heals):16.0f} {max(heals):7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
