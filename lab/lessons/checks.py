"""The checks of lessons: each looks at the lab by itself and says what it saw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import LabError
from lab.base.wait import Observation
from lab.lessons import check_names, past_runs
from lab.lessons.model import with_names
from lab.lessons.schema import NOBODY, NONE
from lab.live import steady_state
from lab.nodes import etcd
from lab.nodes.roles.loadbalancer import CA_FILE
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lab.lessons.lab_view import LabView
    from lab.lessons.model import LessonCheck
    from lab.live.lab import Lab

    Look = Callable[[LabView, LessonCheck], Observation]

WRONG_ANSWER = "not so"
"""What is said of what the learner wrote, if it is wrong."""
SHOWN = 120
"""The most characters of an answer's detail, and of a command's output in it."""
CONDITIONS: dict[str, Callable[[Lab], Observation]] = {
    "steady": steady_state.steady,
    "ready": steady_state.all_ready,
    "noticed": steady_state.losses_noticed,
    "vip": steady_state.one_vip_holder,
    "quorum": steady_state.quorum,
    "no-quorum": steady_state.no_quorum,
}
READY, STRANGER = "200", {"401", "403"}
"""HTTP's codes: ready; unknown or not allowed. K3s lets nobody ask without a certificate."""
MACHINE_STATES = {"off": "exited", "frozen": "paused", "running": "running"}
"""A lesson's word for a machine's state → the engine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAnswer:
    """The answer of a check."""

    check: str
    ok: bool
    seen: str


def ask(view: LabView, checks: Iterable[LessonCheck]) -> tuple[CheckAnswer, ...]:
    """Return the answers of checks. One that cannot be asked has not passed, and says why."""
    return tuple(_ask(view, check) for check in checks)


def _ask(view: LabView, check: LessonCheck) -> CheckAnswer:
    try:
        observation = LOOKS[check.kind](view, check)
    except LabError as error:
        observation = Observation(ok=False, detail=error.message)
    detail = " ".join(observation.detail.split())[:SHOWN]
    return CheckAnswer(check=check.describe(), ok=observation.ok, seen=detail)


def _lab(view: LabView, check: LessonCheck) -> Observation:
    return CONDITIONS[check.subject](view.lab)


def _node(view: LabView, check: LessonCheck) -> Observation:
    expected = check.options["is"]
    rows = [view.rows[name] for name in view.targets(check.subject)]
    if expected in MACHINE_STATES:
        ok = all(row.state == MACHINE_STATES[expected] for row in rows)
    else:
        ok = all(row.kubernetes == expected for row in rows)
    states = [f"{row.name} is {row.state}, Kubernetes says {row.kubernetes}" for row in rows]
    return Observation(ok=ok, detail="; ".join(states))


def _vip(view: LabView, check: LessonCheck) -> Observation:
    holders = view.status.vip_holders
    before = view.progress.former.holder
    ok = {
        "held": len(holders) == 1,
        "moved": len(holders) == 1 and holders[0] != before,
        "nobody": not holders,
    }[check.subject]
    now = ", ".join(holders) or "nobody"
    return Observation(ok=ok, detail=f"held by {now}; at the beginning by {before or 'nobody'}")


def _etcd(view: LabView, check: LessonCheck) -> Observation:
    before = view.progress.former
    if check.subject == "voters":
        return _voters(view, int(check.options.get("count", len(view.lab.topology.masters))))
    leader, term = view.status.etcd_leader, view.term
    changed = leader != before.leader if check.subject == "new-leader" else term > before.term
    detail = (
        f"leader {leader or 'none'} in term {term}; "
        f"at the beginning {before.leader or 'none'} in term {before.term}"
    )
    return Observation(ok=bool(leader) and changed, detail=detail)


def _voters(view: LabView, count: int) -> Observation:
    client = view.lab.distribution().etcd_client
    (master,) = view.targets(check_names.RUNNING_MASTER)
    members = etcd.members(view.lab.node(master), client)
    names = ", ".join(member.name or "unnamed" for member in members)
    return Observation(ok=len(members) == count, detail=f"{len(members)} members: {names}")


def _fenced(view: LabView, check: LessonCheck) -> Observation:
    nobody = check.subject == NOBODY
    since = view.progress.step_began if nobody else view.progress.began
    fencings = [one for one in view.status.fencings if one.at >= since - 1]
    detail = "; ".join(one.sentence() for one in fencings) or "nobody was fenced"
    if nobody:
        return Observation(ok=not fencings, detail=detail)
    nodes = set(view.targets(check.subject))
    return Observation(ok=nodes <= {one.node for one in fencings}, detail=detail)


def _fault(view: LabView, check: LessonCheck) -> Observation:
    on = [f"{one.fault} at {one.node}" for one in view.faults]
    detail = f"on: {', '.join(on)}" if on else "no fault is on"
    if check.subject == NONE:
        return Observation(ok=not on, detail=detail)
    nodes = {one.node for one in view.faults if one.fault == check.subject}
    targets = set(view.targets(check.options["at"])) if "at" in check.options else nodes
    return Observation(ok=bool(nodes) and targets <= nodes, detail=detail)


def _pods(view: LabView, check: LessonCheck) -> Observation:
    """Count the ready pods by their nodes. A lost node's pods are called ready for a while."""
    options = check.options
    space = options.get("namespace", "default")
    path = f"/api/v1/namespaces/{space}/pods?labelSelector={check.subject.replace('=', '%3D')}"
    pods = view.objects(path)["items"]
    places = [pod["spec"].get("nodeName", "") for pod in pods if _serves(pod)]
    ok = len(places) == int(options.get("count", len(places) or 1))
    if "at" in options:
        ok = ok and set(places) <= set(view.targets(options["at"]))
    if "away-from" in options:
        ok = ok and not set(places) & set(view.targets(options["away-from"]))
    counted = ", ".join(f"{places.count(node)} on {node}" for node in sorted(set(places)))
    return Observation(ok=ok, detail=f"{len(places)} of {len(pods)} ready: {counted or 'none'}")


def _serves(pod: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    """Whether a pod is Ready and not being deleted."""
    conditions = pod["status"].get("conditions", [])
    ready = any(row["type"] == "Ready" and row["status"] == "True" for row in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _run(view: LabView, check: LessonCheck) -> Observation:
    return _printed(view, check, check.subject)


def _file(view: LabView, check: LessonCheck) -> Observation:
    return _printed(view, check, f"cat -- '{check.subject}'")


def _printed(view: LabView, check: LessonCheck, command: str) -> Observation:
    """Run a command on all nodes of `at`; each must end with 0, and its output match `prints`."""
    pattern = check.options.get("prints", "")
    ok, details = True, []
    vip = str(view.lab.topology.network.vip)
    named = with_names(command, view.lab.name, vip)
    for node in view.targets(check.options.get("at", check_names.RUNNING_MASTER)):
        result = view.run(node, named)
        ok = ok and result.code == 0 and bool(re.search(pattern, result.output))
        output = result.output.strip()[:SHOWN] or "nothing"
        details.append(
            f"{node}: {output}" if result.code == 0 else f"{node}: ended with {result.code}"
        )
    return Observation(ok=ok, detail="; ".join(details))


def _api(view: LabView, check: LessonCheck) -> Observation:
    topology = view.lab.topology
    ways = {check_names.VIP: topology.network.vip, check_names.LB: topology.loadbalancer.ip}
    places = [ways[check.subject]] if check.subject in ways else []
    if not places:
        places = [topology.node(name).ip for name in view.targets(check.subject)]
    codes = {str(place): _code(view, str(place)) for place in places}
    if check.options["is"] == "answering":
        ok = all(code in {READY, *STRANGER} for code in codes.values())
    else:  # an error is an answer: who is silent says nothing at all
        ok = not any(codes.values())
    answers = [f"{place} {_meaning(code)}" for place, code in codes.items()]
    return Observation(ok=ok, detail=", ".join(answers))


def _meaning(code: str) -> str:
    """Return what the HTTP code of an API server's answer to /readyz means."""
    if not code:
        return "answers nothing"
    if code == READY:
        return "answers 200: ready"
    if code in STRANGER:
        return (
            f"answers {code}: it serves, and tells only who has a certificate whether it is ready"
        )
    if code.startswith("5"):
        return f"answers {code}: it runs, and says that it is not ready"
    return f"answers {code}: no answer of an API server to /readyz"


def _code(view: LabView, address: str) -> str:
    """Return the HTTP code of an API server's /readyz; "" if it does not answer."""
    url = f"https://{address}:{KUBERNETES_PORT}/readyz"
    asked = f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 3 --cacert {CA_FILE} {url}"
    code = view.run(view.lab.topology.loadbalancer.name, asked).output.strip()
    return "" if code == "000" else code


def _answer(view: LabView, check: LessonCheck) -> Observation:
    """Compare what the learner wrote with what is so; say nothing of what would be right."""
    path = "/api/v1/namespaces/default/configmaps?fieldSelector=metadata.name%3Dlesson"
    items = view.objects(path)["items"]
    given = (items[0].get("data") or {}).get(check.subject, "") if items else ""
    expected = check.options["is"]
    right = ",".join(view.targets(expected)) if expected.startswith("@") else expected
    if not given:
        return Observation(ok=False, detail=f"the ConfigMap `lesson` has no key `{check.subject}`")
    verdict = "right" if given.strip() == right else WRONG_ANSWER
    return Observation(ok=verdict == "right", detail=f"you wrote `{given}`: {verdict}")


def _scenario(view: LabView, check: LessonCheck) -> Observation:
    run = past_runs.latest(view.lab.name, check.subject, view.progress.step_began)
    if run is None:
        return Observation(ok=False, detail="not run since this step began")
    outcome = check.options.get("outcome", run.outcome)
    verdicts = past_runs.judge(run, check.expect)
    ok = run.outcome == outcome and all(verdict.outcome == "pass" for verdict in verdicts)
    reasons = [f"{verdict.name}: {'; '.join(verdict.reasons[:1])}" for verdict in verdicts]
    return Observation(ok=ok, detail=", ".join([f"{run.folder.name}: {run.outcome}", *reasons]))


LOOKS: dict[str, Look] = {
    "lab": _lab,
    "node": _node,
    "vip": _vip,
    "etcd": _etcd,
    "fenced": _fenced,
    "fault": _fault,
    "pods": _pods,
    "run": _run,
    "file": _file,
    "api": _api,
    "answer": _answer,
    "scenario": _scenario,
}
"""Kind → how it looks; the kinds are those of lab/lessons/schema.py."""
