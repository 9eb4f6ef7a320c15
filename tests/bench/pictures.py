"""Makes README's pictures anew: the watch and `halab status` as SVG, a run's time-line as PNG.

    python tests/bench/pictures.py                 the recorded ones and the example history
    python tests/bench/pictures.py --lab 3m3w      the status of a lab that runs
    python tests/bench/pictures.py --run last      the time-line of a run that was recorded
    python tests/bench/pictures.py --watch last    the watch of a run, which is recorded here for it

The recorded status is tests/bench/recorded/status.json, written by hand from a real one. The
example history is the one that the report's unit tests judge (tests/unit/histories.py): its
truths are known, so the picture shows the report and measures nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import importlib
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import watch_picture
from rich.console import Console
from rich.text import Text

from lab.analysis import report
from lab.analysis.judge import judge
from lab.cli import output
from lab.live.status import LabStatus, NodeStatus

if TYPE_CHECKING:
    from lab.analysis.history.events import History
    from lab.analysis.report.model import Report

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / ".github" / "pictures"
RECORDED = Path(__file__).parent / "recorded" / "status.json"
EXAMPLE = "an example, not a measurement"
EXPECTATIONS = ("outage(api.vip) <= 6s", "vip_unique", "one_leader", "lost_writes == 0", "steady")
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
text {{ font-family: FONT; }}
.{unique_id}-matrix {{ font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
""".replace("FONT", FONT)
"""rich's own template without its web font: a picture must load nothing from elsewhere."""


def recorded() -> LabStatus:
    """Return the status that was written down."""
    return from_plain(json.loads(RECORDED.read_text(encoding="utf-8")))


def from_plain(values: dict[str, Any]) -> LabStatus:
    """Return a status from what `halab status -o json` printed, without its fencings."""
    nodes = tuple(NodeStatus(**node) for node in values["nodes"])
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return LabStatus(**{**values, **lists, "nodes": nodes, "fencings": ()})


def live(name: str) -> LabStatus:
    """Return the status of a lab that runs."""
    from lab.engine import client
    from lab.live import lab
    from lab.live.status import look

    return look(lab.find(client.connect(), name))


def status_text(status: LabStatus) -> str:
    """Return what `halab status` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        output.status(status)
    return out.getvalue().rstrip()


def status_svg(status: LabStatus) -> str:
    """Return `halab status` as a picture of a terminal."""
    text = f"$ halab status\n{status_text(status)}"
    width = max(map(len, text.splitlines())) + 1
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    styled = Text(text)
    styled.highlight_regex(r"(?m)^\$ .*$|^NODE .*$", "bold")
    styled.highlight_regex(r"\b(running|Ready|ready)\b", "green")
    styled.highlight_regex(r"\b(leader|VIP)\b(?= *$|  )", "bold cyan")
    console.print(styled)
    made = console.export_svg(title="halab status", code_format=SVG, unique_id="halab-status")
    return "\n".join(line.rstrip() for line in made.splitlines()) + "\n"


def example() -> History:
    """Return the example history, named as such."""
    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    histories = importlib.import_module("histories")

    def named(event: Any) -> dict[str, Any] | None:
        return {"scenario": f"crash-vip-holder ({EXAMPLE})"} if event.kind == "run" else None

    return histories.changed(histories.good(), named)


def of_run(word: str) -> Report:
    """Return the report of a run that was recorded."""
    from lab.analysis.history import run_folders
    from lab.scenarios import run

    return run.judge(run_folders.find(word))


def record_run(word: str) -> None:
    """Keep of a run what the watch's picture needs."""
    from lab.analysis.history import events, run_folders

    run = events.read(run_folders.find(word) / run_folders.HISTORY)
    # Without a time of its own the archive of the same run is the same file.
    packed = gzip.compress(watch_picture.cut(run).encode(), 9, mtime=0)
    watch_picture.RECORDED.write_bytes(packed)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", default="", help="a lab that runs, instead of the recorded status")
    parser.add_argument("--run", default="", help="a run, instead of the example history")
    parser.add_argument("--watch", default="", help="a run whose watch is recorded and drawn")
    chosen = parser.parse_args()
    if chosen.watch:
        record_run(chosen.watch)
    history = example()
    told = of_run(chosen.run) if chosen.run else report.build(history, judge(history, EXPECTATIONS))
    PICTURES.mkdir(parents=True, exist_ok=True)
    status = live(chosen.lab) if chosen.lab else recorded()
    (PICTURES / "status.svg").write_text(status_svg(status), encoding="utf-8")
    (PICTURES / "timeline.png").write_bytes(report.png(told))
    watch = watch_picture.svg(watch_picture.history())
    (PICTURES / "watch.svg").write_text(watch, encoding="utf-8")
    print(f"made: status.svg, timeline.png and watch.svg in {PICTURES}")


if __name__ == "__main__":
    main()
