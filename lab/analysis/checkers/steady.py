"""At the end all is as it should be: every probe answers, every node is Ready, one node holds the VIP, etcd has a leader.

Looked at are the last five samples of each probe: one bad one among them is not steady. What nobody asked about is left out, and said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.analysis.history import leader_terms, vip_holders
from lab.analysis.history.series import LASTING, is_good, series
from lab.analysis.verdicts import Figure, Verdict, verdict

if TYPE_CHECKING:
    from lab.analysis.history.events import Event, History
    from lab.analysis.history.series import Series


def _last(found: Series) -> tuple[Event, ...]:
    return found.seen[-LASTING:]


def _blind(found: Series) -> str:
    """Say why the end of a probe was not seen."""
    trouble = found.trouble()
    if trouble:
        return trouble
    end = found.samples[-1].t
    tail = [stall for stall in found.stalls if stall[1] >= end]
    return f"{found.name}: no samples at the end, since {tail[-1][0]:.2f} s" if tail else ""


def _answers(probes: dict[str, Series]) -> list[str]:
    return [
        f"{name}: {sum(not is_good(sample) for sample in _last(found))} of the last {LASTING} answers were bad"
        + _detail(found)
        for name, found in probes.items()
        if not all(is_good(sample) for sample in _last(found))
        and not name.startswith(f"{leader_terms.PREFIX}.")
    ]


def _detail(found: Series) -> str:
    told = next(
        (
            str(sample.get("detail"))
            for sample in reversed(_last(found))
            if not is_good(sample) and sample.get("detail")
        ),
        "",
    )
    return f" ({told[:100]})" if told else ""


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
    return (
        []
        if len(who) == 1
        else [
            "the VIP has no holder"
            if not who
            else f"the VIP still moves: {', '.join(sorted(h[0] for h in who))}"
        ]
    )


def _leader(probes: dict[str, Series]) -> list[str]:
    members = {
        name: found for name, found in probes.items() if name.startswith(f"{leader_terms.PREFIX}.")
    }
    leading = {
        name
        for name, found in members.items()
        if (seen := _last(found)) and leader_terms.claim(seen[-1])
    }
    mute = [
        name for name, found in members.items() if _last(found) and not is_good(_last(found)[-1])
    ]
    silent = [f"etcd member {name.removeprefix('etcd.')} does not answer" for name in mute]
    return silent + ([] if leading else ["etcd has no leader"])


class _Steady:
    name = "steady"
    summary = "At the end every probe answers, every node is Ready, one node holds the VIP, and etcd has a leader."

    def check(self, history: History) -> Verdict:
        probes = series(history)
        unsure = [text for found in probes.values() if (text := _blind(found))]
        if not probes:
            unsure.append("no probe sampled anything")
        seen = {name: found for name, found in probes.items() if found.seen}
        bad = _answers(seen)
        left = []
        if "nodes" in seen:
            bad += _nodes(seen)
        else:
            left.append("nodes")
        if vip_holders.PROBE in seen:
            bad += _holder(seen)
        else:
            left.append("the VIP's holder")
        if any(name.startswith(f"{leader_terms.PREFIX}.") for name in seen):
            bad += _leader(seen)
        else:
            left.append("etcd's leader")
        good = [
            f"{len(seen)} probes answer"
            + (f"; nobody asked about {', '.join(left)}" if left else "")
        ]
        return verdict(self.name, bad, unsure, good, [Figure("steady_probes", float(len(seen)))])


CHECKER = _Steady()
