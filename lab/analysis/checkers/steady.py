"""Checker `steady`: at the end of a run the lab is as it should be.

Every probe answers, every node is Ready, one node holds the VIP, and etcd has a leader. The last
five samples of each probe count, and none of them may be bad. The verdict says what nobody asked
about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.history import leader_terms, vip_holders
from lab.analysis.history.series import LASTING, is_good, series
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History
    from lab.analysis.history.series import Series


def _last(probe: Series) -> tuple[Event, ...]:
    return probe.asked[-LASTING:]


def _blind(probe: Series) -> str:
    """Return why the end of a probe's samples was not seen; empty if it was.

    Only the end counts: who asks from a pod of a worker that is off cannot ask most of the time.
    """
    if too_little := probe.too_little():
        return too_little
    end = probe.samples[-1].t
    tail = [stall for stall in probe.stalls if stall[1] >= end]
    return f"{probe.name}: no samples at the end, since {tail[-1][0]:.2f} s" if tail else ""


def _answers(probes: dict[str, Series]) -> list[str]:
    bad = []
    for name, probe in probes.items():
        count = sum(not is_good(sample) for sample in _last(probe))
        if count and not name.startswith(f"{leader_terms.PREFIX}."):
            bad.append(
                f"{name}: {count} of the last {LASTING} answers were bad{_last_detail(probe)}"
            )
    return bad


def _last_detail(probe: Series) -> str:
    details = [str(sample.get("detail") or "") for sample in _last(probe) if not is_good(sample)]
    detail = next(filter(None, reversed(details)), "")
    return f" ({detail[:100]})" if detail else ""


def _nodes(probes: dict[str, Series]) -> list[str]:
    value = _last(probes["nodes"])[-1].get("value")
    states = value if isinstance(value, dict) else {}
    return [
        f"node {name} is {state}" for name, state in sorted(states.items()) if state != "Ready"
    ] or ([] if states else ["no node was listed"])


def _holder(probes: dict[str, Series]) -> list[str]:
    who = {
        holders
        for sample in _last(probes[vip_holders.PROBE])
        if (holders := vip_holders.holders(sample))
    }
    several = [holders for holders in who if len(holders) > 1]
    if several:
        return [f"the VIP has more than one holder: {' and '.join(several[0])}"]
    if not who:
        return ["the VIP has no holder"]
    if len(who) > 1:
        return [f"the VIP still moves: {', '.join(sorted(holders[0] for holders in who))}"]
    return []


def _leader(probes: dict[str, Series]) -> list[str]:
    last = {
        name.removeprefix(f"{leader_terms.PREFIX}."): probe.asked[-1]
        for name, probe in probes.items()
        if name.startswith(f"{leader_terms.PREFIX}.")
    }
    bad = [
        f"etcd member {name} does not answer"
        for name, sample in last.items()
        if not is_good(sample)
    ]
    if not any(leader_terms.claim(sample) for sample in last.values()):
        bad.append("etcd has no leader")
    return bad


class _Steady:
    name = "steady"
    summary = (
        "At the end every probe answers, every node is Ready, one node holds the VIP, and etcd "
        "has a leader."
    )

    def check(self, history: History) -> Verdict:
        probes = series(history)
        unsure = [text for probe in probes.values() if (text := _blind(probe))]
        if not probes:
            unsure.append("no probe sampled anything")
        asked = {name: probe for name, probe in probes.items() if probe.asked}
        bad = _answers(asked)
        not_asked = []
        if "nodes" in asked:
            bad += _nodes(asked)
        else:
            not_asked.append("nodes")
        if vip_holders.PROBE in asked:
            bad += _holder(asked)
        else:
            not_asked.append("the VIP's holder")
        if any(name.startswith(f"{leader_terms.PREFIX}.") for name in asked):
            bad += _leader(asked)
        else:
            not_asked.append("etcd's leader")
        good = [
            f"{len(asked)} probes answer"
            + (f"; nobody asked about {', '.join(not_asked)}" if not_asked else "")
        ]
        return verdict(self.name, bad, unsure, good, [Figure("steady_probes", float(len(asked)))])


CHECKER = _Steady()
