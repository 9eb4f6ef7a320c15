"""What only a master itself can say, asked in one command: etcd, VIP, its API, fencings, records.

To begin a command on a node takes longer than all of these questions.
"""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.live import active_faults
from lab.nodes.ha import fencings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.engine.node import NodeHandle
    from lab.live.active_faults import FaultRecords
    from lab.live.kubeconfig_answer import KubeconfigAnswer
    from lab.nodes.distributions import HealthCheck
    from lab.nodes.ha.fencings import Fencing

UNKNOWN = "-"
MORE = "further-command"
"""The line before its output."""
ASK_TIMEOUT_S = 8
"""For all questions to a master, which take at most 2 s each."""


@dataclass(frozen=True, slots=True)
class MasterStatus:
    """What a master says of itself; the fields are those of NodeStatus and LabStatus."""

    etcd: str = UNKNOWN
    vip: bool = False
    api: str = UNKNOWN
    fencings: tuple[Fencing, ...] = ()
    records: FaultRecords | None = None
    """Of its faults; None if it could not say."""
    more: str = ""
    """What the further command printed."""


def holds_vip(output: str, vip: str) -> bool:
    """Whether the output of `ip -4 -o addr` shows the address."""
    return any(column.split("/")[0] == vip for column in output.split())


def etcd_part(metrics: str) -> str:
    """Return a member's part by etcd's metrics: leader, follower, `no leader`; UNKNOWN for none."""
    values = dict(
        line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith("etcd_server_")
    )
    if values.get("etcd_server_has_leader") != "1":
        return "no leader" if values else UNKNOWN
    return "leader" if values.get("etcd_server_is_leader") == "1" else "follower"


def ask(
    node: NodeHandle,
    vip: str,
    health: HealthCheck,
    kubeconfig: KubeconfigAnswer | None = None,
    more: Sequence[str] = (),
) -> MasterStatus:
    """Ask a master that runs. Raises EngineError if it cannot be asked.

    If `kubeconfig` is given, the master prints it first. `more` is a further command, carried out
    last.
    """
    first = (kubeconfig.script,) if kubeconfig else ()
    last = (f"echo {MORE}", shlex.join(more)) if more else ()
    with kubeconfig.listening() if kubeconfig else contextlib.nullcontext() as heard:
        argv = ["sh", "-c", "; ".join((*first, *_questions(health), *last))]
        output = node.run(argv, check=False, timeout_s=ASK_TIMEOUT_S, heard=heard).output
    answers, _, further = output.partition(f"\n{MORE}\n")
    return MasterStatus(
        etcd_part(answers),
        vip=holds_vip(answers, vip),
        api="ready" if "api 200" in answers else "not ready",
        fencings=tuple(fencings.alerts(answers)),
        records=active_faults.printed(answers, node.name),
        more=further,
    )


def _questions(health: HealthCheck) -> tuple[str, ...]:
    tls = f"--cacert {health.ca} --cert {health.certificate} --key {health.key}"
    metrics = "curl -s --max-time 2 http://127.0.0.1:2381/metrics"
    api = f"-s -o /dev/null -w '\\napi %{{http_code}}\\n' --max-time 2 {tls} {health.url}"
    return (
        active_faults.PRINT,
        fencings.ASK,
        "ip -4 -o addr show dev eth0",
        # One program asks both; the second is asked even if the first does not answer.
        f"{metrics} --next {api} | grep -E '^(etcd_server_(is|has)_leader|api )'",
    )
