"""halab's machines with nothing but a container runtime, and kubeadm's sequence on them.

The machines are made by halab's own code from the same topology: the same containers, volumes,
privileges and network, and the load balancer as the control plane's endpoint. The management
network and the baseboard controllers are left out: only halab's fencing needs them.
"""

from __future__ import annotations

import contextlib
import secrets as random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import kubeadm_config as config

from lab.base.wait import Observation, until
from lab.engine import fitness
from lab.engine.files import File, unit_links
from lab.lifecycle import desired_state, plan
from lab.lifecycle.apply import Applier
from lab.lifecycle.plan import Action
from lab.lifecycle.removal import destroy
from lab.nodes.distributions.upstream import DISTRIBUTION
from lab.nodes.ha import nginx
from lab.nodes.handles import handle
from lab.topology.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.base.progress import Reporter
    from lab.engine.client import Engine
    from lab.engine.node import NodeHandle
    from lab.engine.spec import ContainerSpec, Desired
    from lab.topology.model import Node, Topology

STEP_TIMEOUT_S = 180
EVERY_S = 0.4
"""As often as `halab start` asks."""
NAME = "kubernetes.default.svc.cluster.local"


@dataclass(slots=True)
class Steps:
    """How long each step took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begin

    def since_boot(self) -> float:
        return sum(took for name, took in self.seconds.items() if name not in MACHINES)

    def total(self) -> float:
        return sum(self.seconds.values())


MADE, BOOTED = "machines made", "machines booted"
MACHINES = (MADE, BOOTED)
INIT, FLANNEL, MASTERS, WORKERS = "init", "flannel applied", "join of masters", "join of workers"
READY, DNS = "all nodes Ready", "DNS answers"
STEPS = (*MACHINES, INIT, FLANNEL, MASTERS, WORKERS, READY, DNS)


def desired(topology: Topology, image: str, tags: dict[str, str]) -> Desired:
    """Return the machines as the engine should hold them, on the lab's own network alone."""
    whole = desired_state.desired(topology, DISTRIBUTION, tags, 0)
    network = whole.networks[0]
    machines = {node.name: node for node in topology.machines}

    def own(spec: ContainerSpec) -> ContainerSpec:
        node = machines[spec.hostname]
        return replace(spec, more={}, image=spec.image if _balances(node) else image)

    containers = [own(spec) for spec in whole.containers if spec.hostname in machines]
    wanted = {name for spec in containers for name in spec.volumes}
    volumes = {name: labels for name, labels in whole.volumes.items() if name in wanted}
    return replace(whole, networks=(network,), volumes=volumes, containers=tuple(containers))


def _balances(node: Node) -> bool:
    return node.role is Role.LOADBALANCER


def _balancer_files(topology: Topology) -> tuple[File, ...]:
    """Return nginx's, without halab-balance: it needs a certificate, which kubeadm makes later."""
    return (
        File(path="/etc/nginx/nginx.conf", content=nginx.conf(topology).encode()),
        File(path=nginx.UPSTREAM, content=nginx.upstream(topology).encode()),
        *unit_links("/usr/lib/systemd/system/nginx.service"),
    )


@dataclass(slots=True)
class Cluster:
    """A cluster that kubeadm makes."""

    engine: Engine
    topology: Topology
    image: str
    tags: dict[str, str]
    version: str
    reporter: Reporter
    steps: Steps = field(default_factory=Steps)

    def node(self, node: Node) -> NodeHandle:
        return handle(self.engine, self.topology.name, node)

    @property
    def first(self) -> NodeHandle:
        return self.node(self.topology.masters[0])

    def make_machines(self) -> None:
        """Make and boot the machines; return when containerd answers on all of them."""
        admission = config.Admission(
            f"{random.token_hex(3)}.{random.token_hex(8)}", random.token_hex(32)
        )
        want = desired(self.topology, self.image, self.tags)
        applier = Applier(self.engine, self.reporter, random.token_hex(6))
        steps = plan.start(want, self.engine.observe(self.topology.name))
        able = fitness.privileged(self.engine, self.image)
        with self.steps.step(MADE):
            applier.network(want.networks[0])
            made = plan.Plan(steps.of(Action.CREATE_VOLUME, Action.CREATE))
            applier.make(made, want, privileged=able)
        files = {
            node.name: lambda node=node: config.node_files(
                self.topology, node, admission, self.version
            )
            for node in self.topology.nodes
        }
        files[self.topology.loadbalancer.name] = lambda: _balancer_files(self.topology)
        with self.steps.step(BOOTED):
            applier.boot(want, steps.subjects(Action.BOOT), files)
            self._side_by_side(self.topology.nodes, self._await_runtime)

    def _await_runtime(self, node: Node) -> None:
        def answers() -> Observation:
            ready = "systemctl is-system-running --wait; ctr version"
            result = self.node(node).run(["sh", "-c", ready], check=False)
            return Observation(ok=result.code == 0, detail=result.output[-200:])

        until(f"containerd of {node.name} answers", answers, timeout_s=60, every_s=EVERY_S)

    def bring_up(self) -> None:
        """Carry out kubeadm's sequence, as kind does: masters one by one, workers together."""
        first, *masters = self.topology.masters
        with self.steps.step(INIT):
            self._kubeadm(first, "init", "--upload-certs")
        with self.steps.step(FLANNEL):
            self.kubectl("apply", "-f", config.FLANNEL_FILE)
        with self.steps.step(MASTERS):
            for node in masters:
                self._kubeadm(node, "join")
        with self.steps.step(WORKERS):
            self._side_by_side(self.topology.workers, lambda node: self._kubeadm(node, "join"))
        with self.steps.step(READY):
            long = f"--timeout={STEP_TIMEOUT_S}s"
            self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", long)
        with self.steps.step(DNS):
            until("DNS answers", self._dns, timeout_s=120, every_s=EVERY_S)

    def _kubeadm(self, node: Node, *words: str) -> None:
        self.reporter.say(node.name, f"kubeadm {words[0]}")
        argv = ["kubeadm", *words, "--config", config.CONFIG]
        self.node(node).run(argv, timeout_s=STEP_TIMEOUT_S)

    def kubectl(self, *words: str) -> str:
        argv = ["kubectl", f"--kubeconfig={config.ADMIN}", *words]
        return self.first.run(argv, timeout_s=STEP_TIMEOUT_S + 10).output

    def _dns(self) -> Observation:
        """Ask for a name by the Service's address, on the last node."""
        server = config.service_address(self.topology)
        last = self.node(self.topology.nodes[-1])
        argv = ["busybox", "nslookup", "-type=a", NAME, str(server)]
        result = last.run(argv, check=False, timeout_s=2)
        return Observation(ok=result.code == 0, detail=result.output[-200:])

    @staticmethod
    def _side_by_side(nodes: tuple[Node, ...], do: Callable[[Node], None]) -> None:
        with ThreadPoolExecutor(len(nodes) or 1) as pool:
            for done in [pool.submit(do, node) for node in nodes]:
                done.result()

    def remove(self) -> None:
        destroy(self.engine, self.topology.name, self.reporter)
