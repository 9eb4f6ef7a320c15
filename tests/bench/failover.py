"""Measure failover by token, fencing and victim; print the table of tests/bench/README.md.

bench/failover.py [--runs N] [--cell 400,on,crash]…

Each cell is a scenario of its own on a real 3m3w lab: steady, the fault for eight seconds, healed,
steady again. What counts is what users felt: the longest outage of the API through the VIP, of
writes through it, of the API through the load balancer, over new and kept connections. Beside them:
the time during which two machines held the VIP, and acknowledged writes that were lost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HALAB = str(Path(sys.executable).parent / "halab")
TOPOLOGY = Path(__file__).parents[2] / "topologies" / "3m3w.yaml"
LAB = "bench-failover"
VICTIMS = {
    "crash": "fault: crash, target: '@vip-holder'",
    "leader": "fault: crash, target: '@leader'",
    "hang": "fault: hang, target: '@vip-holder'",
}
FIGURES = {
    "API by VIP": "outage(api.vip)",
    "writes by VIP": "outage(write.vip)",
    "API by LB": "outage(api.lb)",
    "two holders": "vip_overlap",
}
SCENARIO = """name: {name}
settle: 3s
steps:
  - {{{fault}, hold: 8s}}
  - {{until: steady}}
expect:
  - outage(api.vip) <= 60s
  - outage(write.vip) <= 60s
  - outage(api.lb) <= 60s
  - vip_overlap <= 60s
  - lost_writes == 0
"""
"""The bounds are wide: the figures are wanted, not a verdict."""


def halab(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run([HALAB, *words], capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        raise SystemExit(
            f"halab {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return done.stdout


def cell(victim: str, runs: int) -> dict[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scenario.yaml")
        path.write_text(SCENARIO.format(name=f"bench-{victim}", fault=VICTIMS[victim]))
        # 4 and 5 are verdicts, told by the figures.
        answer: Any = json.loads(
            halab(
                "scenario",
                "run",
                LAB,
                str(path),
                "--repeats",
                str(runs),
                "-o",
                "json",
                codes=(0, 4, 5),
            )
        )
    return {row["figure"]: row["runs"] for row in answer["figures"]}


def spell(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} / {max(values):.2f}" if values else "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--cell",
        action="append",
        metavar="TOKEN,FENCING,VICTIM",
        help="only this one; may be repeated",
    )
    chosen = parser.parse_args()
    for word in chosen.cell or ():
        token, fencing, victim = [*word.split(","), "", "", ""][:3]
        if not token.isdigit() or fencing not in {"on", "off"} or victim not in VICTIMS:
            parser.error(
                f"--cell {word}: TOKEN in ms, on or off, and {' or '.join(VICTIMS)}, "
                "for example 400,on,crash"
            )
    cells = [tuple(word.split(",")) for word in chosen.cell or ()] or list(
        itertools.product(("1000", "400"), ("on", "off"), VICTIMS)
    )
    print("median / worst, seconds")
    print("| token | fencing | victim | runs | " + " | ".join(FIGURES) + " | lost writes |")
    print("|---" * (5 + len(FIGURES)) + "|")
    try:
        for (token, fencing), group in itertools.groupby(cells, key=lambda row: row[:2]):
            halab("destroy", LAB)
            settings = (
                "--set",
                f"ha.token={token}ms",
                "--set",
                f"ha.fencing={str(fencing == 'on').lower()}",
                "--set",
                "loadbalancer.host_port=0",
            )
            halab("start", str(TOPOLOGY), "--name", LAB, *settings)
            for *_, victim in group:
                found = cell(victim, chosen.runs)
                figures = " | ".join(spell(found.get(name, [])) for name in FIGURES.values())
                lost = f"{sum(found['lost_writes']):.0f}" if found.get("lost_writes") else "unknown"
                runs = len(found.get("lost_writes", []))
                print(
                    f"| {token} ms | {fencing} | {victim} | {runs} | {figures} | {lost} |",
                    flush=True,
                )
    finally:
        halab("destroy", LAB)


if __name__ == "__main__":
    main()
