"""Measures how long `halab status` and a `halab start` that changes nothing take.

`commands.py LAB [OTHER] --pairs 10`, from a checkout's root, on a lab that runs. OTHER is another
checkout to compare with: the two take turns, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(checkout: Path, *words: str) -> tuple[float, float]:
    """Run a checkout's halab; return the seconds that passed, and those of its own processor."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed halab is compiled
    before, begin = os.times(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=checkout,
        env=environment,
        capture_output=True,
        check=True,
    )
    passed, after = time.monotonic() - begin, os.times()
    user = after.children_user - before.children_user
    return passed, user + after.children_system - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lab")
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    checkouts = [Path.cwd(), *([options.other.resolve()] if options.other else [])]
    for words in (("status", options.lab), ("start", options.lab)):
        for checkout in checkouts:
            seconds(checkout, *words)  # compiles
        rows: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
        for number in range(options.pairs):
            for checkout in checkouts if number % 2 else reversed(checkouts):
                rows[checkout].append(seconds(checkout, *words))
        for checkout, values in rows.items():
            wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"{words[0]:8} {wall:6.2f} s, processor {processor:5.2f} s  {checkout}")


if __name__ == "__main__":
    main()
