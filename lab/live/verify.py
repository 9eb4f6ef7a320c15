"""The checks that the authors of the reference installation ran by hand, run as one.

Each shows the command that a person would type.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from lab.base.errors import LabError
from lab.base.wait import Observation, tried, until
from lab.engine.labels import LABEL, LABEL_NODE
from lab.live.verify_judges import (
    Terms,
    judge_answer,
    judge_members,
    judge_nodes,
    judge_pods,
    judge_presence,
    judge_quorum,
    pod_runs,
    shorten,
)
from lab.nodes.roles.loadbalancer import CA_FILE
from lab.topology.model import KUBERNETES_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.live.lab import Lab

    Judge = Callable[[str], Observation]

PATIENCE_S = 20.0
"""All checks together are asked again for so long: a node is Ready before its pods are, so a lab
that has just started settles while it is looked at."""
AGAIN_S = 1.0
PODS_S = 60.0
"""For the pods of the checks to run; their image is on every node."""
IMAGE = "halab/toolbox:1.0.0"
"""images/versions.yaml names it, too; a unit test keeps the two equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: a command on a node, and the judge of what it prints."""

    name: str
    node: str
    command: str
    judge: Judge

    def result(self, observation: Observation) -> CheckResult:
        """Return the check's result, by what was observed."""
        return CheckResult(
            name=self.name,
            node=self.node,
            command=self.command,
            ok=observation.ok,
            detail=observation.detail,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of a check."""

    name: str
    node: str
    command: str
    ok: bool
    detail: str
    """What is wrong, or what the command showed."""


@dataclass(slots=True)
class Verifier:
    """Runs all checks on a lab. Its pods live in a namespace of their own, which it deletes."""

    lab: Lab
    on_progress: Callable[[str, str], None] = lambda *_: None
    """Called with a check's name and what is done for it."""
    namespace: str = field(default_factory=lambda: f"halab-verify-{secrets.token_hex(3)}")
    patience_s: float = PATIENCE_S
    """What is left of it: seconds."""

    def run(self) -> tuple[CheckResult, ...]:
        """Run all checks; one that cannot be asked has failed.

        Raises LabError if no master runs.
        """
        results = [self._machines(), *(self._ask(check) for check in self._cluster())]
        running = self._running()
        workers = [
            node.name
            for node in self.lab.topology.workers or self.lab.topology.masters
            if node.name in running
        ]
        try:
            addresses = self._pods(workers)
        except LabError as error:
            results.append(
                CheckResult(
                    name="pods on workers",
                    node=self._master(),
                    command="kubectl run …",
                    ok=False,
                    detail=error.message,
                )
            )
            addresses = {}
        try:
            results += [self._ask(check) for check in self._inside(addresses)]
        finally:
            self._kubectl(
                "delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"
            )
        return tuple(results)

    def _machines(self) -> CheckResult:
        """Check that every container of the lab runs, the baseboard controllers' included."""
        names, running = [node.name for node in self.lab.topology.containers], self._running()
        missing = [name for name in names if name not in running]
        command = f"docker ps --filter label={LABEL}={self.lab.name}"
        detail = f"not running: {', '.join(missing)}" if missing else f"{len(names)} run"
        return CheckResult(
            name="machines", node="the host", command=command, ok=not missing, detail=detail
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

    def _kubectl(self, *arguments: str, stdin: bytes | None = None) -> str:
        master = self.lab.node(self._master())
        return master.run(["kubectl", *arguments], timeout_s=60, stdin=stdin).output

    def _ask(self, check: Check) -> CheckResult:
        """Return a check's result, the first good one if there is one while patience lasts."""
        self.on_progress(check.name, check.command)
        result = self._asked(check)
        begin = time.monotonic()
        while not result.ok and time.monotonic() - begin < self.patience_s:
            self.on_progress(check.name, f"not yet: {result.detail}")
            time.sleep(AGAIN_S)
            result = self._asked(check)
        self.patience_s -= time.monotonic() - begin
        return result

    def _asked(self, check: Check) -> CheckResult:
        argv = ["sh", "-c", check.command]
        try:
            result = self.lab.node(check.node).run(argv, check=False, timeout_s=30)
        except LabError as error:
            return check.result(Observation(ok=False, detail=error.message))
        if result.code != 0:
            detail = f"ended with {result.code}: {shorten(result.output)}"
            return check.result(Observation(ok=False, detail=detail))
        return check.result(check.judge(result.output))

    def _cluster(self) -> Iterator[Check]:
        """Yield the checks that need no pods of ours."""
        topology, master = self.lab.topology, self._master()
        names = [node.name for node in topology.nodes]
        addresses = [str(node.ip) for node in topology.masters]
        dns = [str(topology.kubernetes.cluster_dns)]
        rows: dict[str, tuple[str, Judge]] = {
            "nodes": ("kubectl get nodes --no-headers", lambda text: judge_nodes(text, names)),
            "pods": ("kubectl get pods -A --no-headers", judge_pods),
            "API endpoints": (
                "kubectl get endpointslices kubernetes -o jsonpath='{.endpoints[*].addresses[*]}'",
                lambda text: judge_presence(text, addresses),
            ),
            "DNS service": (
                "kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.clusterIP}'",
                lambda text: judge_presence(text, dns),
            ),
            "services": (
                "kubectl get services -A --no-headers",
                lambda text: Observation(bool(text.strip()), f"{len(text.splitlines())} services"),
            ),
            "cluster-info": (
                "kubectl cluster-info",
                lambda text: Observation("is running at" in text, shorten(text.split("\n", 1)[0])),
            ),
        }
        for name, (command, judge) in rows.items():
            yield Check(name=name, node=master, command=command, judge=judge)
        yield from self._etcd(master)
        yield from self._stack(master)
        yield from self._ways()

    def _etcd(self, master: str) -> Iterator[Check]:
        client = self.lab.distribution().etcd_client
        tls = f"--cacert {client.ca} --cert {client.certificate} --key {client.key}"
        curl = f"curl -s --max-time 5 {tls} -d '{{}}' https://127.0.0.1:{client.port}/v3"
        names = [node.name for node in self.lab.topology.masters]
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
        """Judge that Pacemaker names one holder, and that this one alone has the address."""
        vip, running = str(self.lab.topology.network.vip), self._running()
        masters = [node.name for node in self.lab.topology.masters if node.name in running]
        argv = ["ip", "-4", "-o", "addr", "show", "dev", "eth0"]
        addresses = {name: self.lab.node(name).run(argv, check=False).output for name in masters}
        holders = [name for name in masters if f" {vip}/" in addresses[name]]
        named = [name for name in text.split() if name in masters]
        if len(holders) == 1 and named == holders:
            return Observation(ok=True, detail=f"{vip} on {holders[0]}")
        pacemakers, actual = (", ".join(names) or "no master" for names in (named, holders))
        detail = f"Pacemaker names {pacemakers}; the address is on {actual}"
        return Observation(ok=False, detail=detail)

    def _ways(self) -> Iterator[Check]:
        """Yield a check of the API by each address that leads to it."""
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
        """Run a pod on each worker; return their addresses by name. Raises WaitTimeout."""
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
            *(self._pod(name) for name in workers),
        ]
        text = "\n---\n".join(map(json.dumps, objects)).encode()

        def make() -> Observation:
            self._kubectl("apply", "-f", "-", stdin=text)
            return Observation(ok=True, detail="made")

        # A pod is refused until a controller has made the new namespace's service account.
        until(
            "the pods of the checks are made",
            lambda: tried(make),
            timeout_s=PODS_S,
            every_s=AGAIN_S,
        )

        def pods() -> list[dict[str, Any]]:
            answer = self._kubectl("-n", self.namespace, "get", "pods", "-o", "json")
            items: list[dict[str, Any]] = json.loads(answer)["items"]
            return items

        def ask() -> Observation:
            items = pods()
            running = sum(map(pod_runs, items))
            detail = f"{running} of {len(workers)} run"
            self.on_progress("pods on workers", detail)
            return Observation(ok=running == len(items) == len(workers), detail=detail)

        until("a pod on each worker", ask, timeout_s=PODS_S)
        return {item["metadata"]["name"]: item["status"]["podIP"] for item in pods()}

    def _pod(self, worker: str) -> dict[str, Any]:
        """Return a pod that serves its node's name, on port 8080."""
        page = "mkdir -p /tmp/www && hostname > /tmp/www/index.html"
        command = f"{page} && exec httpd -f -p 8080 -h /tmp/www"
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
            "metadata": {"name": worker, "namespace": self.namespace},
            "spec": spec,
        }

    def _inside(self, addresses: dict[str, str]) -> Iterator[Check]:
        """Yield the checks from inside our pods; `addresses` are theirs by name."""
        master = self._master() if addresses else ""
        service = [str(self.lab.topology.kubernetes.service_cidr[1])]
        for name in addresses:
            inside = f"kubectl -n {self.namespace} exec {name} --"
            command = f"{inside} nslookup kubernetes.default.svc.cluster.local"
            yield Check(
                name=f"DNS from a pod on {name}",
                node=master,
                command=command,
                judge=lambda text: judge_presence(text, service),
            )
            others = [other for other in addresses if other != name]
            if others:
                gets = [f"wget -qO- -T 5 http://{addresses[other]}:8080/" for other in others]
                yield Check(
                    name=f"pod to pod from {name}",
                    node=master,
                    command=f"{inside} sh -c '{' && '.join(gets)}'",
                    judge=partial(judge_presence, expected=others),
                )


def verify(
    lab: Lab, on_progress: Callable[[str, str], None] = lambda *_: None
) -> tuple[CheckResult, ...]:
    """Run all checks and return their results. Raises LabError if no master runs.

    `on_progress` is called with a check's name and what is done for it.
    """
    return Verifier(lab, on_progress).run()
