"""The JSON Schema of lesson.yaml, and the table of keys that the loader reads by.

A key's name, and whether it is required, are written here alone, as lab/topology/schema.py does for
topologies.
"""

from __future__ import annotations

from typing import Any

from lab.base import durations
from lab.base.json_schema import described, keys_of, mapping
from lab.topology.scenario_file import UNTIL

_DURATION = f"^{durations.NUMBER}({'|'.join(durations.UNITS)})$"
_NAME = r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$"
CERTIFICATES = ("CKA", "LFCS", "EX436", "LPIC-3 306")
NODE_STATES = ("running", "off", "frozen", "Ready", "NotReady")
VIP_STATES = ("held", "moved", "nobody")
ETCD_STATES = ("new-leader", "new-term", "voters")
API_STATES = ("answering", "silent")
NOBODY, NONE = "nobody", "none"
OUTCOMES = ("pass", "fail", "unknown")
STAGES = ("token-lost", "membership", "fenced", "vip-start")
"""What a debrief can read from journals."""
TARGET_HELP = "a node, @leader, @vip-holder, @former-leader, @former-holder, @running-master"


def _text(description: str, **rest: Any) -> dict[str, Any]:  # noqa: ANN401
    return described(description, type="string", minLength=1, **rest)


def _texts(description: str, least: int = 0) -> dict[str, Any]:
    return described(
        description, type="array", items={"type": "string", "minLength": 1}, minItems=least
    )


_TARGET = _text(f"{TARGET_HELP}.")
_PRINTS = _text("A regular expression that what it prints has somewhere.")
_AT = _text(f"Where: {TARGET_HELP}; default @running-master.", default="@running-master")

CHECKS: dict[str, dict[str, Any]] = {
    "lab": mapping(
        "The lab as a whole, in the words of a scenario's `until`.",
        {"lab": described("The condition.", enum=[*UNTIL])},
        "lab",
    ),
    "node": mapping(
        "A machine, by the engine, and its node, by Kubernetes.",
        {"node": _TARGET, "is": described("Its state.", enum=[*NODE_STATES])},
        "node",
        "is",
    ),
    "vip": mapping(
        "Which of the masters that run have the floating address.",
        {
            "vip": described(
                "held: one has it; moved: one, another than before; nobody.", enum=[*VIP_STATES]
            )
        },
        "vip",
    ),
    "etcd": mapping(
        "etcd, asked on the masters.",
        {
            "etcd": described(
                "new-leader, new-term: since the lab was last whole; voters: their number.",
                enum=[*ETCD_STATES],
            ),
            "count": described("Of the voters.", type="integer", minimum=1, maximum=9),
        },
        "etcd",
    ),
    "fenced": mapping(
        "Whom the masters have fenced since the lesson began.",
        {"fenced": _text(f"{TARGET_HELP}; nobody: since the step began.")},
        "fenced",
    ),
    "fault": mapping(
        "A fault that is on.",
        {"fault": _text("Its name, or none."), "at": _TARGET},
        "fault",
    ),
    "pods": mapping(
        "Pods that are ready.",
        {
            "pods": _text("A label selector, such as app=web."),
            "namespace": _text("Their namespace.", default="default"),
            "count": described("How many are ready.", type="integer", minimum=0, maximum=99),
            "at": _TARGET,
            "away-from": _TARGET,
        },
        "pods",
    ),
    "run": mapping(
        "A command on a node, for a shell; it ends with 0.",
        {"run": _text("The command."), "at": _AT, "prints": _PRINTS},
        "run",
    ),
    "file": mapping(
        "A file on a node.",
        {"file": _text("Its path."), "at": _AT, "prints": _PRINTS},
        "file",
    ),
    "api": mapping(
        "The API by one way, asked from the load balancer.",
        {
            "api": _text(f"vip, lb, or a master: {TARGET_HELP}."),
            "is": described("Whether it answers.", enum=[*API_STATES]),
        },
        "api",
        "is",
    ),
    "answer": mapping(
        "What the learner wrote into the ConfigMap `lesson` of the namespace `default`.",
        {"answer": _text("The key."), "is": _text(f"A text, or {TARGET_HELP}.")},
        "answer",
        "is",
    ),
    "scenario": mapping(
        "A run of a shipped scenario in this lab since the step began.",
        {
            "scenario": _text("Its name."),
            "outcome": described("The run's verdict; default: any.", enum=[*OUTCOMES]),
            "expect": _texts("What the run must show, such as outage(api.vip) >= 1s."),
        },
        "scenario",
    ),
}
"""Kind of check → its schema. The kind is the key that says what is looked at."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a lesson's lesson.yaml."""
    check = described("What is looked at, and what passes.", anyOf=[*CHECKS.values()])
    checks = {"type": "array", "items": check}
    step = mapping(
        "A step. Its text stands in text.md, under a heading with its name.",
        {
            "name": _text("Its name, and its heading's in text.md.", pattern=_NAME),
            "look": _texts("Commands that show what the step is about."),
            "checks": described("What must be so at the end; all of them.", **checks, minItems=1),
            "hints": _texts("Hints, from a nudge to the whole answer.", 1),
            "solution": _texts("Commands that do it, for a shell on the host.", 1),
            "timeout": _text(
                "How long the checks may take after the solution.", pattern=_DURATION, default="60s"
            ),
        },
        "name",
        "checks",
        "hints",
        "solution",
    )
    figure = mapping(
        "A figure of the learner's own lab, beside the report's.",
        {
            "name": _text("What was measured."),
            "report": _text("What the report, or the documentation, says of it."),
            "scenario": _text("The scenario whose last run has the figure."),
            "figure": _text("The figure's name in that run's report: outage(api.vip)."),
            "journal": described(
                "Two stages in the masters' journals: the time between them.",
                type="array",
                items={"enum": [*STAGES]},
                minItems=2,
                maxItems=2,
            ),
            "terms": described("How many terms etcd began since the start.", type="boolean"),
        },
        "name",
        "report",
    )
    properties = {
        "title": _text("Its title."),
        "objective": _text("What the learner can do at the end."),
        "topology": _text("The shipped topology of the lab it needs."),
        "set": _texts("Values of the topology that it changes, KEY=VALUE."),
        "minutes": described("How long it takes.", type="integer", minimum=5, maximum=60),
        "trains": described(
            "Parts of examinations, each beginning with its name: CKA, LFCS, EX436, LPIC-3 306.",
            type="array",
            items={"type": "string", "pattern": f"^({'|'.join(CERTIFICATES)}): .+"},
            minItems=1,
        ),
        "steps": described("In this order.", type="array", items=step, minItems=1, maxItems=20),
        "unrecoverable": described("If one passes, only a reset helps.", **checks),
        "cleanup": _texts("Commands that remove what the lesson made in the cluster."),
        "figures": described("What the debrief shows.", type="array", items=figure),
    }
    required = ("title", "objective", "topology", "minutes", "trains", "steps")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "halab lesson",
        **mapping("A lesson; its texts are in text.md beside it.", properties, *required),
    }


def _keys() -> dict[str, dict[str, bool]]:
    whole = schema()
    step, figure = (whole["properties"][name]["items"] for name in ("steps", "figures"))
    sections = {"": whole, "steps.*": step, "figures.*": figure}
    sections |= {f"check {kind}": part for kind, part in CHECKS.items()}
    return {path: keys_of(section) for path, section in sections.items()}


KEYS = _keys()
"""Section → key → whether it is required. The section "" is the file itself."""
