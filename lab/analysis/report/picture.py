"""The time-line as a PNG file: the same lanes and colours as on the page, with a legend.

No other file imports matplotlib.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from lab.analysis.report.model import STATES
from lab.analysis.report.svg import grouped, named
from lab.analysis.report.wording import OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.analysis.report.model import Report, State

COLOURS: dict[State, str] = {
    "good": "#8cc7b5",
    "bad": "#d1371c",
    "mixed": "#f0a030",
    "unknown": "#c9c9c9",
    "on": "#3f6fb5",
    "fault": "#7a3e9d",
    "step": "#b9c2d0",
}
"""They differ in lightness, too: for readers who cannot tell red from green, and in grey print."""
WIDTH_IN, ROW_IN, FRAME_IN, DPI = 13.0, 0.2, 1.9, 110
LETTER = 0.0062
"""About the share of the picture's width that a letter needs."""


def draw(report: Report) -> bytes:
    """Return the picture as a PNG file's content."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = sum(len(lanes) + 1 for _, lanes in grouped(report.lanes))
    figure = Figure(figsize=(WIDTH_IN, FRAME_IN + rows * ROW_IN), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (0.12, 1.05 / figure.get_figheight(), 0.86, 1 - FRAME_IN / figure.get_figheight())
    )
    _lanes(axes, report)
    free = report.span[0]
    for group in report.fault_groups:
        axes.axvline(group.t, color=COLOURS["fault"], linewidth=1, linestyle="--")
        if group.t < free:  # a name over another is unreadable, and the fault's bar has it, too
            continue
        axes.annotate(
            named(group),
            (group.t, 0),
            xytext=(3, 2),
            textcoords="offset points",
            fontsize=7,
            color=COLOURS["fault"],
            annotation_clip=False,
        )
        free = group.t + len(named(group)) * LETTER * (report.span[1] - report.span[0])
    figure.text(
        0.01,
        1 - 0.22 / figure.get_figheight(),
        f"{OUTCOMES[report.outcome]}: {report.title}",
        fontsize=12,
        weight="bold",
        va="center",
    )
    figure.text(
        0.01, 1 - 0.47 / figure.get_figheight(), report.sentence[:170], fontsize=8.5, va="center"
    )
    _legend(axes, report)
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": "halab"})
    return out.getvalue()


def _lanes(axes: Axes, report: Report) -> None:
    length = max(report.span[1] - report.span[0], 1e-6)
    y = 0
    labels: list[tuple[int, str]] = []
    for group, lanes in grouped(report.lanes):
        axes.text(
            -0.135,
            y + 0.5,
            group,
            fontsize=8,
            weight="bold",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
        y += 1
        for lane in lanes:
            for each in lane.stretches:
                width = max(each.end - each.begin, length / 1000)
                hatch = "////" if each.state in {"bad", "unknown"} else None
                axes.broken_barh(
                    [(each.begin, width)],
                    (y + 0.14, 0.72),
                    facecolors=COLOURS[each.state],
                    hatch=hatch,
                    edgecolor="white",
                    linewidth=0,
                )
                if each.state in {"fault", "step"} and len(each.text) * LETTER < width / length:
                    colour = "white" if each.state == "fault" else "black"
                    axes.text(
                        each.begin + length * 0.003,
                        y + 0.52,
                        each.text,
                        fontsize=7,
                        va="center",
                        color=colour,
                    )
            labels.append((y, lane.name))
            y += 1
    axes.set_yticks([row + 0.5 for row, _ in labels], [name for _, name in labels], fontsize=7.5)
    axes.set_ylim(max(y, 1), 0)
    axes.set_xlim(report.span[0], report.span[0] + length)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("seconds since the run began", fontsize=8)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(axes: Axes, report: Report) -> None:
    from matplotlib.patches import Patch

    drawn = {each.state for lane in report.lanes for each in lane.stretches}
    hatched = {"bad", "unknown"}
    patches = [
        Patch(
            facecolor=COLOURS[state],
            label=text,
            hatch="////" if state in hatched else None,
            edgecolor="white",
        )
        for state, text in STATES.items()
        if state in drawn
    ]
    if patches:
        axes.figure.legend(
            handles=patches, loc="lower left", ncols=len(patches), fontsize=8, frameon=False
        )
