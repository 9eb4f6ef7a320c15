"""The checks that the authors of the reference installation ran by hand, as one: each with the command that a person would type."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.base.wait import Observation, until
from lab.engine.labels import LABEL, LABEL_NODE
from lab.live.verify_judges import (
    Terms,
    _runs,
    _shorten,
    judge_answer,
    judge_members,
    judge_nodes,
    judge_pods,
    judge_quorum,
    judge_words,
)
from lab.nodes.distributions import find as find_distribution
from lab.nodes.roles.loadbalancer import CA_FILE
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.live.lab import Lab

    Judge = Callable[[str], Observation]

PODS_S = 60.0
"""For the pods of the checks to run: their image is on every node."""
IMAGE = "halab/toolbox:1.0.0"
"""images/versions.yaml names it; a unit test holds the two together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look: what is asked on which node by which command, and who judges what it prints."""

    name: str
    node: str
    command: str
    judge: Judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check found. `detail` says what is wrong, or what was seen."""

    name: str
    node: str
    command: str
    ok: bool
    detail: str


@dataclass(slots=True)
class Verifier:
    """Runs all checks on a lab. Its pods live in a namespace of their own, which goes with it."""

    lab: Lab
    told: Callable[[str, str], None] = lambda *_: None
    space: str = field(default_factory=lambda: f"halab-verify-{secrets.token_hex(3)}")

    def run(self) -> tuple[Outcome, ...]:
        """Run everything; what cannot be asked is a check that failed.

        Raises LabError where no master runs.
        """
        found = [self._machines(), *(self._ask(check) for check in self._cluster())]
        running = self._running()
        workers = [
            node.name
            for node in self.lab.topology.workers or self.lab.topology.masters
            if node.name in running
        ]
        try:
            addresses = self._pods(workers)
        except LabError as error:
            found.append(
                Outcome(
                    name="pods on workers",
                    node=self._master(),
                    command="kubectl run …",
                    ok=False,
                    detail=error.message,
                )
            )
            addresses = {}
        try:
            found += [self._ask(check) for check in self._inside(addresses)]
        finally:
            self._kubectl("delete", "namespace", self.space, "--ignore-not-found", "--wait=false")
        return tuple(found)

    def _machines(self) -> Outcome:
        """Every container of the lab runs, the baseboard controllers' too."""
        wanted, running = [node.name for node in self.lab.topology.containers], self._running()
        gone = [name for name in wanted if name not in running]
        command = f"docker ps --filter label={LABEL}={self.lab.name}"
        detail = f"not running: {', '.join(gone)}" if gone else f"{len(wanted)} run"
        return Outcome(
            name="machines", node="the host", command=command, ok=not gone, detail=detail
        )

    def _running(self) -> set[str]:
        return {
            item.labels.get(LABEL_NODE, "")
            for item in self.lab.observe().containers
            if item.running
        }

    def _master(self) -> str:
        names = [node.name for node in self.lab.topology.masters if node.name in self._running()]
        if not names:
            raise LabError(
                f"no master of lab {self.lab.name} runs", f"`halab start {self.lab.name}`"
            )
        return names[0]

    def _kubectl(self, *words: str, stdin: bytes | None = None) -> str:
        return (
            self.lab.node(self._master()).run(["kubectl", *words], timeout_s=60, stdin=stdin).output
        )

    def _ask(self, check: Check) -> Outcome:
        self.told(check.name, check.command)
        try:
            result = self.lab.node(check.node).run(
                ["sh", "-c", check.command], check=False, timeout_s=30
            )
        except LabError as error:
            return Outcome(
                name=check.name,
                node=check.node,
                command=check.command,
                ok=False,
                detail=error.message,
            )
        ended = Observation(ok=False, detail=f"ended with {result.code}: {_shorten(result.output)}")
        found = check.judge(result.output) if result.code == 0 else ended
        return Outcome(
            name=check.name,
            node=check.node,
            command=check.command,
            ok=found.ok,
            detail=found.detail,
        )

    def _cluster(self) -> Iterator[Check]:
        topology, master = self.lab.topology, self._master()
        names, addresses = (
            [node.name for node in topology.nodes],
            [str(node.ip) for node in topology.masters],
        )
        dns = [str(topology.kubernetes.cluster_dns)]
        rows: dict[str, tuple[str, Judge]] = {
            "nodes": ("kubectl get nodes --no-headers", lambda text: judge_nodes(text, names)),
            "pods": ("kubectl get pods -A --no-headers", judge_pods),
            "API endpoints": (
                "kubectl get endpointslices kubernetes -o jsonpath='{.endpoints[*].addresses[*]}'",
                lambda text: judge_words(text, addresses),
            ),
            "DNS service": (
                "kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}'",
                lambda text: judge_words(text, dns),
            ),
            "services": (
                "kubectl get services -A --no-headers",
                lambda text: Observation(bool(text.strip()), f"{len(text.splitlines())} services"),
            ),
            "cluster-info": (
                "kubectl cluster-info",
                lambda text: Observation("is running at" in text, _shorten(text.split("\n", 1)[0])),
            ),
        }
        for name, (command, judge) in rows.items():
            yield Check(name=name, node=master, command=command, judge=judge)
        yield from self._etcd(master)
        yield from self._stack(master)
        yield from self._ways()

    def _etcd(self, master: str) -> Iterator[Check]:
        topology = self.lab.topology
        tls = find_distribution(self.lab.distribution().name).etcd_client
        identity = f"--cacert {tls.ca} --cert {tls.certificate} --key {tls.key}"
        curl = f"curl -s --max-time 5 {identity} -d '{{}}' https://127.0.0.1:{tls.port}/v3"
        names = [node.name for node in topology.masters]
        command = f"{curl}/cluster/member/list"
        yield Check(
            name="etcd members",
            node=master,
            command=command,
            judge=lambda text: judge_members(text, names),
        )
        terms = Terms()
        for name in names:
            yield Check(
                name=f"raft term of {name}",
                node=name,
                command=f"{curl}/maintenance/status",
                judge=terms.judge,
            )

    def _stack(self, master: str) -> Iterator[Check]:
        online = f"Online: [ {' '.join(sorted(node.name for node in self.lab.topology.masters))} ]"
        rows: dict[str, tuple[str, Judge]] = {
            "quorum": ("corosync-quorumtool -s", judge_quorum),
            "Pacemaker": (
                "crm_mon -1",
                lambda text: Observation(
                    online in text, online if online in text else f"not `{online}`"
                ),
            ),
            "VIP": ("crm_resource --resource FAILOVER-ADDR --locate --quiet", self._judge_vip),
        }
        for name, (command, judge) in rows.items():
            yield Check(name=name, node=master, command=command, judge=judge)

    def _judge_vip(self, text: str) -> Observation:
        """Pacemaker names one holder, and that one alone has the address."""
        vip = str(self.lab.topology.network.vip)
        masters = [node.name for node in self.lab.topology.masters if node.name in self._running()]
        shown = {
            name: self.lab.node(name)
            .run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], check=False)
            .output
            for name in masters
        }
        holders = [name for name in masters if f" {vip}/" in shown[name]]
        said = [word for word in text.split() if word in masters]
        ok = len(holders) == 1 and said == holders
        return Observation(
            ok,
            f"{vip} on {holders[0]}"
            if ok
            else f"Pacemaker says {said or 'nobody'}, {holders or 'nobody'} has it",
        )

    def _ways(self) -> Iterator[Check]:
        topology = self.lab.topology
        ways = {
            "the VIP": topology.network.vip,
            "the load balancer": topology.loadbalancer.ip,
            **{node.name: node.ip for node in topology.masters},
        }
        for name, address in ways.items():
            url = f"https://{address}:{KUBERNETES_PORT}/readyz"
            command = (
                f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 3 --cacert {CA_FILE} {url}"
            )
            yield Check(
                name=f"API by {name}",
                node=topology.loadbalancer.name,
                command=command,
                judge=judge_answer,
            )

    def _pods(self, workers: list[str]) -> dict[str, str]:
        """Run a pod on each worker; gives their addresses."""
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.space}},
            *(self._pod(name) for name in workers),
        ]
        self._kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)).encode())

        def ask() -> Observation:
            items = json.loads(self._kubectl("-n", self.space, "get", "pods", "-o", "json"))[
                "items"
            ]
            self.told("pods on workers", f"{sum(map(_runs, items))} of {len(workers)} run")
            return Observation(
                ok=len(items) == len(workers) and all(map(_runs, items)),
                detail=f"{sum(map(_runs, items))} of {len(workers)} run",
            )

        until("a pod on each worker", ask, timeout_s=PODS_S)
        items = json.loads(self._kubectl("-n", self.space, "get", "pods", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item["status"]["podIP"] for item in items}

    def _pod(self, worker: str) -> dict[str, Any]:
        command = "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
        container = {
            "name": "web",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", command],
        }
        spec = {
            "nodeName": worker,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": worker, "namespace": self.space},
            "spec": spec,
        }

    def _inside(self, addresses: dict[str, str]) -> Iterator[Check]:
        master = self._master() if addresses else ""
        service = [str(self.lab.topology.kubernetes.service_cidr[1])]
        for name in addresses:
            inside = f"kubectl -n {self.space} exec {name} --"
            command = f"{inside} nslookup kubernetes.default.svc.cluster.local"
            yield Check(
                name=f"DNS from a pod on {name}",
                node=master,
                command=command,
                judge=lambda text: judge_words(text, service),
            )
            others = {other: address for other, address in addresses.items() if other != name}
            if others:
                command = f"{inside} sh -c '{' && '.join(f'wget -qO- -T 5 http://{address}:8080/' for address in others.values())}'"
                judge = lambda text, others=tuple(others): judge_words(text, others)  # noqa: E731 (one expression)
                yield Check(
                    name=f"pod to pod from {name}", node=master, command=command, judge=judge
                )


def verify(lab: Lab, told: Callable[[str, str], None] = lambda *_: None) -> tuple[Outcome, ...]:
    """Run all checks. Raises LabError where no master runs."""
    return Verifier(lab, told).run()
