"""This checkout's halab, run as a user runs it, and timed."""

from __future__ import annotations

import subprocess
import sys
import time

HALAB = (sys.executable, "-m", "lab")


def timed(*words: str) -> float:
    """Run halab, quiet; return the seconds it took. Raises SystemExit with what it said."""
    begin = time.monotonic()
    done = subprocess.run([*HALAB, "-q", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"halab {' '.join(words)}: {done.stderr[-2000:]}")
    return time.monotonic() - begin
