"""Checker `watch`: a watch sees every acknowledged create once, and never goes back.

Going back means to an older resource version. RESUME (connected for the first time, or again from a
version) is fine. LOST (the server no longer had the version: 410 Gone) is an admitted gap: alone it
makes the verdict unknown. An acknowledged create that was missed is a failure even so.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History

GRACE_S = 1.0
"""What was created less than this before the end of a watch need not have arrived."""
FEWEST = 10
"""With fewer acknowledged creates than this, nothing is said."""
SHOWN = 5
"""At most so many keys are named in a reason."""


def _version(event: Event) -> int | None:
    try:
        return int(str(event.get("rv")))
    except ValueError:
        return None


def _order(name: str, events: list[Event]) -> list[str]:
    """Return, as sentences, where a watch went back or repeated itself."""
    bad = []
    newest = -1
    for event in events:
        version = _version(event)
        kind = event.get("type")
        if kind == "LOST":
            newest = -1  # after a gap the watch starts over; whether it went back is not known
        if version is None or kind in {"LOST", "RESUME", "END"}:
            continue
        if version < newest or (version == newest and kind != "BOOKMARK"):
            what = "repeated" if version == newest else f"went back from {newest} to"
            bad.append(
                f"{name}: {what} resource version {version} ({kind} {event.get('key', '')}) at "
                f"{event.t:.2f} s"
            )
        newest = max(newest, version)
    return bad


def _creates(
    name: str, events: list[Event], creates: list[Event], until: float
) -> tuple[list[str], int]:
    """Return which creates a watch missed or saw twice, and how many it should have seen."""
    begin = events[0].t
    end = next((event.t for event in events if event.get("type") == "END"), until)
    due = {str(op.get("key")) for op in creates if op.t >= begin and op.end <= end - GRACE_S}
    added = Counter(str(event.get("key")) for event in events if event.get("type") == "ADDED")
    missed = sorted(due - set(added))
    twice = sorted(key for key in due if added[key] > 1)
    bad = []
    if missed:
        bad.append(f"{name}: {len(missed)} acknowledged creates never seen: {_listed(missed)}")
    if twice:
        bad.append(f"{name}: {len(twice)} creates seen more than once: {_listed(twice)}")
    return bad, len(due)


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (" …" if len(keys) > SHOWN else "")


class _Watch:
    name = "watch"
    summary = (
        "A watch of the API sees every acknowledged create once, in order, through all "
        "reconnections."
    )

    def check(self, history: History) -> Verdict:
        watches: dict[str, list[Event]] = defaultdict(list)
        for event in history.of("watch"):
            watches[str(event.get("probe", "watch"))].append(event)
        creates = list(history.of("op", op="create", outcome="ok"))
        bad: list[str] = []
        unsure = [] if watches else ["nobody watched"]
        total = resumed = lost = 0
        for name, events in sorted(watches.items()):
            missed, due = _creates(name, events, creates, history.span[1])
            bad += [*_order(name, events), *missed]
            gone = [event for event in events if event.get("type") == "LOST"]
            unsure += [
                f"{name}: the server no longer had resource version {event.get('rv')} at "
                f"{event.t:.2f} s: a gap"
                for event in gone
            ]
            if due < FEWEST:
                unsure.append(
                    f"{name}: {due} acknowledged creates while it watched are too few "
                    f"(at least {FEWEST})"
                )
            total += due
            resumed += sum(event.get("type") == "RESUME" for event in events[1:])
            lost += len(gone)
        counts = {"watch_creates": total, "watch_resumes": resumed, "watch_lost": lost}
        figures = (
            [Figure(figure, float(count)) for figure, count in counts.items()] if watches else []
        )
        return verdict(
            self.name,
            bad,
            unsure,
            [f"{total} creates each seen once, in order; {resumed} reconnections"],
            figures,
        )


CHECKER = _Watch()
