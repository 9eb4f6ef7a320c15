"""When a lab is ready: every node Ready, the VIP and the load balancer answer, core add-ons work.

Asked from inside the lab (through the load balancer's container and its published port), so that it
also works where the host cannot reach containers' addresses (Docker Desktop).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.addons import addon, catalog
from lab.addons.record import stamped
from lab.base.errors import LabError, WaitTimeout
from lab.base.wait import Observation, tried, until
from lab.kube.objects import node_ready, reported
from lab.lifecycle import leader_leases
from lab.nodes.ha.ipmi import command
from lab.nodes.ha.membership import member, power_on_again, revive
from lab.nodes.roles.loadbalancer import CA_FILE
from lab.topology.model import KUBERNETES_PORT, Node, Role

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from lab.base.progress import Reporter
    from lab.engine.node import NodeHandle
    from lab.kube.api import KubeApi
    from lab.live.access import Access
    from lab.live.lab import Lab
    from lab.live.status import StatusQuery
    from lab.nodes.distributions import Distribution
    from lab.topology.model import Topology

ADMIT_TIMEOUT_S = 240
"""For the first K3s master to run its etcd: some 5 s on a quiet machine."""
API, VIP, BMC = "API", "VIP", "BMC"
MACHINES = (VIP, BMC)
"""The questions that are put to machines alone."""
EVERY_S = 0.4
"""Between rounds of questions: each costs some milliseconds of the two cores on which the nodes
boot."""
ROLE_LABELS = {
    Role.MASTER: {
        "node-role.kubernetes.io/control-plane": "true",
        "node-role.kubernetes.io/etcd": "true",
    },
    Role.WORKER: {"node-role.kubernetes.io/worker": "true"},
}
"""kubelets may not give these to themselves; kubeadm and K3s set them from outside, too."""


@dataclass(slots=True)
class Readiness:
    """Waits for a booted lab; remembers what is done already."""

    lab: Lab
    access: Access
    cluster: KubeApi
    only: tuple[str, ...] | None = None
    """Wait for the API and these nodes alone; None: for everything."""
    booted: tuple[str, ...] = ()
    """Powered on by this run.

    What the API says of them may be from before, until their kubelets have been heard.
    """
    since: float = field(default_factory=time.time)
    status_query: StatusQuery | None = None
    """A status that is being asked for, with crm_mon.ASK_UNIT as the further command."""
    rounds: int = 0
    """How many rounds of questions there were."""
    finished: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    """By question: its last answer that was not ok."""
    _applied: bool = False
    _items: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The cluster's nodes, as this round's one question returned them."""
    _silence: str = ""
    """Why they could not be asked for in this round; empty if they could."""

    @property
    def topology(self) -> Topology:
        """Return the lab's topology."""
        return self.lab.topology

    @property
    def site(self) -> addon.AddonContext:
        """Return where add-ons work."""
        return addon.AddonContext(self.topology, self.access, self.cluster, self.lab.node)

    @property
    def at_once(self) -> bool:
        """Whether all was ready in the first round: nothing has changed since it was begun."""
        return self.rounds == 1

    def _core(self) -> list[str]:
        """Return the add-ons without which the cluster does not work; the others follow later."""
        return [name for name in self.topology.addons if catalog.find(name).core]

    def wait(self, timeout_s: float) -> None:
        """Wait for everything.

        Raises WaitTimeout with what is missing, what was last seen, and the nodes' journals.
        """
        begin = time.monotonic()
        questions = self._questions()
        while not self.lab.cancelled.is_set():
            self._round(questions)
            if all(name in self.finished for name in questions):
                return
            waited = time.monotonic() - begin
            if waited > timeout_s:
                missing = [name for name in questions if name not in self.finished]
                raise self._timeout(waited, missing)
            self.lab.cancelled.wait(EVERY_S)

    def _questions(self) -> dict[str, Callable[[], Observation]]:
        nodes = {node.name: partial(self._node, node) for node in self.topology.nodes}
        if self.only is not None:
            chosen = {name: ask for name, ask in nodes.items() if name in self.only}
            return {API: self._api, **chosen}
        core = {name: partial(self._addon, name) for name in self._core()}
        return {API: self._api, VIP: self._vip, BMC: self._bmc, **nodes, **core}

    def _round(self, questions: dict[str, Callable[[], Observation]]) -> None:
        """Ask everything that is not answered yet, side by side; the API first."""
        self.rounds += 1
        if API not in self.finished:
            self._heard(API, tried(questions[API]))
        left = [name for name in questions if name not in self.finished]
        if API in left:
            return
        with ThreadPoolExecutor(len(left) or 1) as pool:
            # These hang on no object of the cluster.
            first = {name: pool.submit(tried, questions[name]) for name in left if name in MACHINES}
            if not self._applied:
                self._apply()
            if not left:
                return
            self._ask_for_nodes()
            later = {
                name: pool.submit(tried, partial(self._repaired, name, questions))
                for name in left
                if name not in first
            }
            answers = first | later
            for name in left:
                self._heard(name, answers[name].result())

    def _ask_for_nodes(self) -> None:
        try:
            self._items, self._silence = self.cluster.nodes(), ""
        except LabError as error:
            # Fenced machines are powered on all the same: without them it may stay silent.
            self._items, self._silence = {}, error.message.splitlines()[0]

    def _heard(self, name: str, observation: Observation) -> None:
        reporter = self.lab.reporter
        if observation.ok:
            self.finished.add(name)
            reporter.done(name, observation.detail)
        elif self.answers.get(name) != observation.detail:
            self.answers[name] = observation.detail
            reporter.say(name, observation.detail)

    # --- what is done ---

    def _apply(self) -> None:
        """Let controllers lead at once; apply the objects of the cluster and its core add-ons."""
        all_booted = {node.name for node in self.topology.masters} <= set(self.booted)
        # Leases have the engine's time, `since` is this machine's.
        if all_booted and self.lab.engine.local:
            leader_leases.remove_stale(self.cluster, self.since)
        objects = [
            stamped(name, item)
            for name in self._core()
            for item in catalog.find(name).manifests(self.site)
        ]
        self.cluster.apply([*self.access.distribution.manifests(self.topology), *objects])
        self._applied = True

    def _repaired(self, name: str, questions: dict[str, Callable[[], Observation]]) -> Observation:
        """Do what nothing else would do for a node; if there was nothing to do, ask."""
        if name in {node.name for node in self.topology.nodes}:
            node = self.topology.node(name)
            if done := self._repair(node):
                return Observation(ok=False, detail=done)
            self._label(node)
        return questions[name]()

    def _repair(self, node: Node) -> str:
        """Start what should run on a node and does not; return what that was.

        If nothing was booted, members are not waited for (a fault may be active); but nothing else
        starts a Pacemaker that has ended for good.
        """
        if not self._clustered(node):
            return ""
        handle = self.lab.node(node.name)
        if node.name in self.booted and (fenced := power_on_again(handle)):
            return fenced
        item = self._items.get(node.name)
        ready = item is not None and node_ready(item)[0]
        return revive(handle, self._pacemaker_status(node)) if ready else ""

    def _pacemaker_status(self, node: Node) -> str:
        """Return what a master has just said of Pacemaker; "" if it must be asked."""
        return self.status_query.more(node.name) if self.status_query and self.rounds == 1 else ""

    def _label(self, node: Node) -> None:
        """Set the labels of a node's role, once it is registered."""
        item = self._items.get(node.name)
        labels = ROLE_LABELS[node.role]
        if item is not None and not labels.keys() <= item["metadata"].get("labels", {}).keys():
            self.cluster.label_node(node.name, labels)

    # --- what is asked ---

    def _clustered(self, node: Node) -> bool:
        """Whether a node is one of Pacemaker's, and may be fenced."""
        return node.role is Role.MASTER and self.topology.ha.fencing

    def _api(self) -> Observation:
        if not self.cluster.readyz():
            return Observation(
                ok=False, detail="no API server is ready behind the load balancer yet"
            )
        return Observation(
            ok=True, detail=f"answers through the load balancer ({self.cluster.server})"
        )

    def _addon(self, name: str) -> Observation:
        return catalog.find(name).ready(self.site)

    def _vip(self) -> Observation:
        vip = self.topology.network.vip
        balancer = self.lab.node(self.topology.loadbalancer.name)
        url = f"https://{vip}:{KUBERNETES_PORT}/readyz"
        # 401 is an answer, too: K3s answers nobody without a certificate. What counts is TLS with
        # the lab's authority, on this address.
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "1"]
        code = balancer.run([*argv, "--cacert", CA_FILE, url], check=False).output.strip()
        ok = code in {"200", "401"}
        return Observation(ok=ok, detail=f"{vip} answers" if ok else f"{vip} does not answer yet")

    def _bmc(self) -> Observation:
        """Ask for a node's power by IPMI, as fencing will. One node is enough: one program."""
        ask = command(self.topology, self.topology.masters[0].name, "power", "status")
        result = self.lab.node(self.topology.bmc.name).run(ask, check=False)
        lines = result.output.strip().splitlines()[-1:] or ["no answer"]
        if result.code == 0 and lines == ["Chassis Power is on"]:
            return Observation(
                ok=True, detail=f"answers by IPMI for {len(self.topology.nodes)} machines"
            )
        return Observation(ok=False, detail=lines[0][:100])

    def _node(self, node: Node) -> Observation:
        handle, booted = self.lab.node(node.name), node.name in self.booted
        # Before its Node: K3s's kubelet registers when its master votes, and says nothing before.
        if node.role is Role.MASTER and booted:
            joined = self.access.distribution.joined(handle)
            if not joined.ok:
                return joined
        item = self._items.get(node.name)
        if item is None:
            return Observation(ok=False, detail=self._silence or "not registered yet")
        ready, reason = node_ready(item)
        if not (ready and booted):
            return Observation(ok=ready, detail=reason)
        # Reports have whole seconds, and no kubelet reports within the second in which its machine
        # was powered on.
        if reported(item) <= int(self.since):
            waiting = "its kubelet has not reported since the machine was powered on"
            return Observation(ok=False, detail=waiting)
        if not self._clustered(node):
            return Observation(ok=True, detail=reason)
        return member(handle)

    def _timeout(self, waited: float, missing: list[str]) -> WaitTimeout:
        lab = self.topology.name
        names = {node.name for node in self.topology.nodes}
        last = "; ".join(
            f"{name}: {self.answers.get(name, 'waits for the API')}" for name in missing
        )
        asked = [name for name in missing if name in names][:3] or [self.topology.masters[0].name]
        journals = [_last_lines(self.lab.node(name)) for name in asked]
        silent = next((name for name in missing if name in names), "")
        hint = f"`halab logs {lab} {silent}` shows more; the lab is left as it is\n"
        hint += "\n".join(journals)
        return WaitTimeout(f"lab {lab}: {', '.join(missing)} not ready", waited, last, hint)


def await_admitting(
    distribution: Distribution,
    nodes: Iterable[NodeHandle],
    reporter: Reporter,
    cancelled: threading.Event,
) -> None:
    """Wait until others may join by each of these nodes; power on again those that do not run.

    Raises WaitTimeout with the last lines of the journal of the one that does not get there.
    """
    for node in nodes:
        try:
            until(
                f"{node.name} lets others join its cluster",
                partial(tried, partial(_admitting, distribution, node)),
                timeout_s=ADMIT_TIMEOUT_S,
                on_change=partial(reporter.say, node.name),
                cancelled=cancelled,
            )
        except WaitTimeout as error:
            hint = f"`halab logs {node.lab} {node.name}` shows more; the lab is left as it is"
            hint += f"\n{_last_lines(node)}"
            raise WaitTimeout(error.what, error.seconds, error.last, hint) from error
        reporter.say(node.name, "its etcd runs; the others may join")


def _admitting(distribution: Distribution, node: NodeHandle) -> Observation:
    """Power on a node that was fenced meanwhile; return whether others may join by it."""
    if fenced := power_on_again(node):
        return Observation(ok=False, detail=fenced)
    return distribution.admits(node)


def _last_lines(node: NodeHandle) -> str:
    try:
        return f"--- journal of {node.name}\n{node.journal()}"
    except LabError as error:
        return f"--- journal of {node.name} cannot be read: {error.message}"
