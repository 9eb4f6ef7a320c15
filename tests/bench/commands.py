"""Measures `halab --help`, `halab status`, and a `halab start` that changes nothing.

`commands.py LAB [OTHER] --pairs 10`, from a checkout's root, on a lab that runs. OTHER is another
checkout to compare with: the two take turns, so that both see the same machine. It prints the least
and the median.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(checkout: Path, *words: str) -> tuple[float, float]:
    """Run a checkout's halab; return the seconds that passed, and those of its own processor."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed halab is compiled
    before, begin = _processor(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "lab", *words],
        cwd=checkout,
        env=environment,
        capture_output=True,
        check=True,
    )
    return time.monotonic() - begin, _processor() - before


def _processor() -> float:
    """Return the processor's seconds of all halabs until now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lab")
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    checkouts = [Path.cwd(), *([options.other.resolve()] if options.other else [])]
    for words in (("--help",), ("status", options.lab), ("start", options.lab)):
        for checkout in checkouts:
            seconds(checkout, *words)  # compiles
        rows: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
        for number in range(options.pairs):
            for checkout in checkouts if number % 2 else reversed(checkouts):
                rows[checkout].append(seconds(checkout, *words))
        for checkout, values in rows.items():
            wall, processor = zip(*values, strict=True)
            print(f"{words[0]:8} {_told(wall)}, processor {_told(processor)}  {checkout}")


def _told(values: tuple[float, ...]) -> str:
    return f"{min(values):5.2f} to {statistics.median(values):5.2f} s"


if __name__ == "__main__":
    main()
