"""What a test waits for: each strategy is a question to the lab, asked until it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.base.errors import CommandFailed
from lab.base.wait import Observation
from lab.live import steady_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.testing.lab import HalabLab

HTTP_S = 2
"""For one answer to `http_answers`."""
OK = "200"


@dataclass(frozen=True, slots=True)
class WaitStrategy:
    """A condition: what it is called in a time-out's message, and how it is looked at."""

    what: str
    observe: Callable[[HalabLab], Observation]


def strategy(condition: WaitStrategy | Callable[[HalabLab], object]) -> WaitStrategy:
    """Return a strategy as it is, and a function of the lab as one that waits until it is true."""
    if isinstance(condition, WaitStrategy):
        return condition
    name = getattr(condition, "__name__", "the condition")

    def observe(lab: HalabLab) -> Observation:
        answer = condition(lab)
        return Observation(ok=bool(answer), detail=f"{name} says {answer!r}"[:200])

    return WaitStrategy(name, observe)


def steady() -> WaitStrategy:
    """The lab is whole: nodes Ready, etcd with its members, one VIP holder, no fault."""
    return WaitStrategy("the lab is steady", lambda lab: steady_state.steady(lab.handle))


def rolled_out(resource: str, namespace: str = "default") -> WaitStrategy:
    """A Deployment, DaemonSet or StatefulSet (`deployment/shop`) has all pods updated and ready."""

    def observe(lab: HalabLab) -> Observation:
        command = ("rollout", "status", resource, "-n", namespace, "--watch=false")
        output = str(lab.kubectl(*command)).strip()
        done = "successfully rolled out" in output or "roll out complete" in output
        return Observation(ok=done, detail=output[:200])

    return WaitStrategy(f"{resource} is rolled out", observe)


def pods_ready(selector: str, count: int = 1, namespace: str = "default") -> WaitStrategy:
    """At least so many pods with these labels (`app=shop`) are Ready."""

    def observe(lab: HalabLab) -> Observation:
        pods = lab.kubectl("get", "pods", "-l", selector, "-n", namespace)["items"]
        conditions = [pod.get("status", {}).get("conditions") or [] for pod in pods]
        ready = sum({"Ready": "True"}.items() <= _pairs(rows).items() for rows in conditions)
        return Observation(ok=ready >= count, detail=f"{ready} of {count} pods are Ready")

    return WaitStrategy(f"{count} pods with {selector} are Ready", observe)


def _pairs(conditions: list[dict[str, str]]) -> dict[str, str]:
    return {row["type"]: row["status"] for row in conditions}


def http_answers(url: str) -> WaitStrategy:
    """The URL is answered with 200. The lab's load balancer asks: Docker Desktop's host cannot."""

    def observe(lab: HalabLab) -> Observation:
        ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(HTTP_S))
        node = lab.node(lab.topology.loadbalancer.name)
        try:
            code = node.exec(*ask, lab.resolved(url))
        except CommandFailed as error:
            return Observation(ok=False, detail=f"no answer (curl ended with {error.code})")
        return Observation(ok=code == OK, detail=f"HTTP {code}")

    return WaitStrategy(f"{url} answers", observe)
