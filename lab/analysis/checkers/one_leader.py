"""Checker `one_leader`: etcd has at most one leader in a term.

Two leaders in different terms are allowed for a moment: the old one has not heard of the new one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from lab.analysis.history.leader_terms import PREFIX, leader_terms_of
from lab.analysis.history.series import series
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import History


class _OneLeader:
    name = "one_leader"
    summary = "etcd never had two leaders in one term; leader changes are counted."

    def check(self, history: History) -> Verdict:
        members = series(history, PREFIX)
        led = leader_terms_of(history)
        terms: dict[int, set[str]] = defaultdict(set)
        for each in led:
            terms[each.term].add(each.member)
        bad = [
            f"in term {term}, {' and '.join(sorted(who))} each said that it leads"
            for term, who in sorted(terms.items())
            if len(who) > 1
        ]
        unsure = [text for probe in members.values() if (text := probe.trouble() or probe.blind())]
        if not members:
            unsure.append(f"nobody asked etcd's members (no probe {PREFIX}.<master>)")
        elif not led:
            unsure.append("no member ever said that it leads")
        changes = max(0, len(led) - 1)
        resolution = max((probe.interval for probe in members.values()), default=0.0)
        figures = []
        if led:
            most = math.inf if unsure else None
            note = "; ".join(unsure)
            figures.append(Figure("leader_changes", float(changes), "", 0.0, most, note))
        good = [
            (
                f"terms seen: {len(terms)}, one leader in each; changes of leader: {changes} "
                f"(asked every {resolution * 1000:.0f} ms)"
            )
        ]
        return verdict(self.name, bad, unsure, good, figures)


CHECKER = _OneLeader()
