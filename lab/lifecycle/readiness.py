"""When a lab is ready: every node Ready, the floating address and the load balancer answering, core add-ons working.

Asked from inside the lab (through the load balancer's container and its published port), so that it works the same where
containers' addresses cannot be reached from the host (Docker Desktop).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.addons import addon, catalog
from lab.addons.record import stamped
from lab.base.errors import LabError, WaitTimeout
from lab.base.wait import Observation, tried, until
from lab.kube.objects import node_ready, reported
from lab.nodes.ha.ipmi import command
from lab.nodes.ha.membership import member, power_on_again, revive
from lab.nodes.handles import handle
from lab.nodes.roles.loadbalancer import CA_FILE
from lab.topology.model import KUBERNETES_PORT, Role

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.kube.api import Cluster
    from lab.kube.pki import Secrets
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Topology

ADMIT_TIMEOUT_S = 240
"""For the first K3s master to run its etcd: some 5 s on a quiet machine."""
EVERY_S = 0.4
"""Between rounds of questions: each costs some milliseconds of the two cores that the nodes boot on."""
ROLE_LABELS = {
    Role.MASTER: {
        "node-role.kubernetes.io/control-plane": "true",
        "node-role.kubernetes.io/etcd": "true",
    },
    Role.WORKER: {"node-role.kubernetes.io/worker": "true"},
}
"""kubelets may not give themselves these; kubeadm and K3s set them from outside, too."""


@dataclass(slots=True)
class Readiness:
    """Waits for a booted lab; remembers what is done already."""

    engine: Engine
    topology: Topology
    distribution: Distribution
    cluster: Cluster
    keys: Secrets
    reporter: Reporter
    cancelled: threading.Event
    only: tuple[str, ...] | None = None
    """Wait for the API and these nodes alone; for everything where it is None."""
    booted: tuple[str, ...] = ()
    """Powered on by this run: what the API says of them may be from before, until their kubelets have been heard."""
    since: float = field(default_factory=time.time)
    applied: bool = False
    finished: set[str] = field(default_factory=set)
    seen: dict[str, str] = field(default_factory=dict)

    def handle(self, name: str) -> NodeHandle:
        """Give a node of the lab."""
        return handle(self.engine, self.topology.name, self.topology.node(name))

    @property
    def site(self) -> addon.Site:
        """Where add-ons work."""
        return addon.Site(self.topology, self.distribution, self.cluster, self.handle, self.keys)

    def _core(self) -> list[str]:
        """The add-ons that the cluster is not whole without; the others follow when it is (lab/addons/manager.py)."""
        return [name for name in self.topology.addons if catalog.find(name).core]

    def wait(self, timeout_s: float) -> None:
        """Wait for everything. Raises WaitTimeout that names what is missing, what was last seen and the nodes' last words."""
        begin = time.monotonic()
        questions = self._questions()
        while not self.cancelled.is_set():
            self._round(questions)
            if all(name in self.finished for name in questions):
                return
            waited = time.monotonic() - begin
            if waited > timeout_s:
                raise self._timeout(
                    waited, [name for name in questions if name not in self.finished]
                )
            self.cancelled.wait(EVERY_S)

    def _questions(self) -> dict[str, Callable[[], Observation]]:
        nodes = {
            node.name: (lambda name=node.name: self._node(name)) for node in self.topology.nodes
        }
        if self.only is not None:
            return {
                "API": self._api,
                **{name: ask for name, ask in nodes.items() if name in self.only},
            }
        extra = {
            name: (lambda name=name: catalog.find(name).ready(self.site)) for name in self._core()
        }
        return {"API": self._api, "VIP": self._vip, "BMC": self._bmc, **nodes, **extra}

    def _round(self, questions: dict[str, Callable[[], Observation]]) -> None:
        """Ask everything that is not answered yet; nothing but the API is asked before the API answers."""
        for name, ask in questions.items():
            if name in self.finished or (name != "API" and "API" not in self.finished):
                continue
            observation = tried(ask)
            if observation.ok:
                self.finished.add(name)
                self.reporter.done(name, observation.seen)
            elif self.seen.get(name) != observation.seen:
                self.seen[name] = observation.seen
                self.reporter.say(name, observation.seen)

    def _api(self) -> Observation:
        if not self.cluster.readyz():
            return Observation(ok=False, seen="no API server is ready behind the load balancer yet")
        self._apply()
        return Observation(
            ok=True, seen=f"answers through the load balancer ({self.cluster.server})"
        )

    def _apply(self) -> None:
        if not self.applied:
            objects = [
                stamped(name, item)
                for name in self._core()
                for item in catalog.find(name).manifests(self.site)
            ]
            self.cluster.apply([*self.distribution.manifests(self.topology), *objects])
            self.applied = True

    def _vip(self) -> Observation:
        vip = self.topology.network.vip
        balancer = self.handle(self.topology.loadbalancer.name)
        url = f"https://{vip}:{KUBERNETES_PORT}/readyz"
        # 401 is an answer, too: K3s lets nobody ask without a certificate. What counts is TLS with the lab's authority, on this address.
        argv = [
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--max-time",
            "1",
            "--cacert",
            CA_FILE,
            url,
        ]
        code = balancer.run(argv, check=False).output.strip()
        ok = code in {"200", "401"}
        return Observation(ok=ok, seen=f"{vip} answers" if ok else f"{vip} does not answer yet")

    def _bmc(self) -> Observation:
        """Ask for a node's power by IPMI, as fencing will. One stands for all: they are one program."""
        node = self.topology.masters[0].name
        result = self.handle(self.topology.bmc.name).run(
            command(self.topology, node, "power", "status"), check=False
        )
        words = result.output.strip().splitlines()[-1:] or ["no answer"]
        ok = result.code == 0 and words == ["Chassis Power is on"]
        return Observation(
            ok=ok,
            seen=f"answers by IPMI for {len(self.topology.nodes)} machines"
            if ok
            else words[0][:100],
        )

    def _node(self, name: str) -> Observation:
        handle, booted = self.handle(name), name in self.booted
        role = self.topology.node(name).role
        clustered = role is Role.MASTER and self.topology.ha.fencing
        if clustered and booted and (shot := power_on_again(handle)):
            return Observation(ok=False, seen=shot)
        # Before its Node: K3s's kubelet registers when its master votes, and says nothing till then.
        if role is Role.MASTER and booted:
            joined = self.distribution.joined(handle)
            if not joined.ok:
                return joined
        item = self.cluster.nodes().get(name)
        if item is None:
            return Observation(ok=False, seen="not registered yet")
        if any(key not in item["metadata"].get("labels", {}) for key in ROLE_LABELS[role]):
            self.cluster.label_node(name, ROLE_LABELS[role])
        ready, seen = node_ready(item)
        # Where nothing was booted members are not waited for (a fault may be on), but what ended for good nobody else starts.
        if clustered and ready and not booted and (ended := revive(handle)):
            return Observation(ok=False, seen=ended)
        # Reports carry whole seconds, and no kubelet reports within the second in which its machine was powered on.
        if ready and booted and reported(item) <= int(self.since):
            return Observation(
                ok=False, seen="its kubelet has not reported since the machine was powered on"
            )
        return (
            member(handle) if ready and booted and clustered else Observation(ok=ready, seen=seen)
        )

    def _timeout(self, waited: float, missing: list[str]) -> WaitTimeout:
        lab = self.topology.name
        names = {node.name for node in self.topology.nodes}
        last = "; ".join(f"{name}: {self.seen.get(name, 'waits for the API')}" for name in missing)
        asked = [name for name in missing if name in names][:3] or [self.topology.masters[0].name]
        words = [_last_words(self.handle(name)) for name in asked]
        hint = (
            f"`halab logs {lab} {next((n for n in missing if n in names), '')}` shows more; the lab is left as it is\n"
            + "\n".join(words)
        )
        return WaitTimeout(f"lab {lab}: {', '.join(missing)} not ready", waited, last, hint)


def await_admitting(
    distribution: Distribution,
    nodes: Iterable[NodeHandle],
    reporter: Reporter,
    cancelled: threading.Event,
) -> None:
    """Wait until others may join by each of these nodes, which run or are powered on again.

    Raises WaitTimeout with the last lines of the journal of the one that does not get there.
    """
    for node in nodes:

        def look(node: NodeHandle = node) -> Observation:
            if was := power_on_again(node):
                return Observation(ok=False, seen=was)
            return distribution.admits(node)

        try:
            until(
                f"{node.name} lets others join its cluster",
                lambda look=look: tried(look),  # type: ignore[misc]
                timeout_s=ADMIT_TIMEOUT_S,
                told=lambda seen, name=node.name: reporter.say(name, seen),  # type: ignore[misc]
                cancelled=cancelled,
            )
        except WaitTimeout as error:
            hint = f"`halab logs {node.lab} {node.name}` shows more; the lab is left as it is"
            hint += f"\n{_last_words(node)}"
            raise WaitTimeout(error.what, error.seconds, error.last, hint) from error
        reporter.say(node.name, "its etcd runs; the others may join")


def _last_words(node: NodeHandle) -> str:
    try:
        return f"--- journal of {node.name}\n{node.journal()}"
    except LabError as error:
        return f"--- journal of {node.name} cannot be read: {error.message}"
