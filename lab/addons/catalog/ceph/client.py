"""A client of a lab's Ceph: Ceph's own tools, run in the tools pod of a chosen node.

The addresses of the monitors and the administrator's key are read from the cluster for each call,
and passed on standard input: the key stays in no file of a pod, no process list, no record of ours.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.addons import helm
from lab.addons.catalog.ceph.rook import POOL, SPACE, TOOLS
from lab.base.errors import CommandFailed, LabError
from lab.kube.objects import node_ready

if TYPE_CHECKING:
    from lab.addons.addon import AddonContext, Object
    from lab.engine.node import NodeHandle

API = f"/api/v1/namespaces/{SPACE}"
CLUSTER_PATH = f"/apis/ceph.rook.io/v1/namespaces/{SPACE}/cephclusters/{SPACE}"
TIMEOUT_S = 30
WRAPPER = (
    "\nread -r hosts; read -r key; umask 077; folder=$(mktemp -d); "
    r"""trap 'rm -rf "$folder"' EXIT; cd "$folder"
printf '[global]\nmon_host = %s\n[client.admin]\nkeyring = %s/keyring\n' """
    r""""$hosts" "$folder" > ceph.conf
printf '[client.admin]\nkey = %s\n' "$key" > keyring
export CEPH_CONF="$folder/ceph.conf"; cat > data; "$@" < /dev/null
"""
)
"""The first two lines of standard input are the monitors and the key. The rest becomes the file
`data` in the folder in which the command runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Ceph's own account of its health.

    `codes` are its reasons for not being HEALTH_OK; most others are counts.
    """

    status: str
    codes: tuple[str, ...]
    quorum: tuple[str, ...]
    mgr: bool
    osds_up: int
    osds_in: int
    osds: int
    pgs: int
    pgs_clean: int

    def text(self) -> str:
        """Return the health as one line."""
        why = f" ({', '.join(self.codes)})" if self.codes else ""
        return (
            f"{self.status}{why}, monitors {','.join(self.quorum) or 'none'}, "
            f"{self.osds_up} of {self.osds} OSDs up, "
            f"{self.pgs_clean} of {self.pgs} PGs active+clean"
        )


@dataclass(frozen=True, slots=True)
class Ceph:
    """A lab's Ceph; each call runs Ceph's tools in a pod."""

    site: AddonContext

    # --- pods ---

    def pods(self, app: str) -> list[Object]:
        """Return the running pods of an app label (rook-ceph-mon, -mgr, -osd, -tools).

        Those on nodes that are not Ready do not count.
        """
        ready = {name for name, item in self.site.cluster.nodes().items() if node_ready(item)[0]}
        items = self.site.cluster.get(f"{API}/pods?labelSelector=app%3D{app}")["items"]
        running = [
            item
            for item in items
            if item.get("status", {}).get("phase") == "Running"
            and "deletionTimestamp" not in item["metadata"]
        ]
        return [item for item in running if item["spec"].get("nodeName") in ready]

    def hosts(self, app: str) -> tuple[str, ...]:
        """Return the nodes on which an app's pods run: a node with two of them twice."""
        return tuple(sorted(item["spec"]["nodeName"] for item in self.pods(app)))

    def kill(self, app: str) -> tuple[str, str]:
        """Kill one pod of an app, without grace; return its name and node.

        Raises LabError if there is none.
        """
        pods = sorted(self.pods(app), key=lambda item: str(item["metadata"]["name"]))
        if not pods:
            raise LabError(f"no pod of {app} runs")
        name = str(pods[0]["metadata"]["name"])
        self.site.cluster.request("DELETE", f"{API}/pods/{name}", {"gracePeriodSeconds": 0})
        return name, str(pods[0]["spec"]["nodeName"])

    # --- Ceph's tools ---

    def _access(self) -> tuple[str, str]:
        cluster = self.site.cluster
        secret = cluster.find(f"{API}/secrets/rook-ceph-mon")
        endpoints = cluster.find(f"{API}/configmaps/rook-ceph-mon-endpoints")
        monitors = (endpoints or {}).get("data", {}).get("data", "")
        if secret is None or not monitors:
            raise LabError("no monitors yet")
        # `a=10.43.1.2:6789,b=…`
        hosts = ",".join(part.partition("=")[2] for part in monitors.split(","))
        key = secret["data"].get("ceph-secret") or secret["data"]["admin-secret"]
        return hosts, base64.b64decode(key).decode()

    def _master(self) -> NodeHandle:
        return helm.on_a_master(self.site).master

    def run(
        self, argv: list[str], *, node: str = "", data: bytes = b"", timeout_s: float = TIMEOUT_S
    ) -> str:
        """Run a command in the tools pod of a node, or of any; return what it prints.

        Raises LabError if there is no such pod or no monitor, CommandFailed.
        """
        pods = [item for item in self.pods(TOOLS) if node in {"", item["spec"]["nodeName"]}]
        if not pods:
            raise LabError(f"no {TOOLS} pod runs{' on ' + node if node else ''} yet")
        hosts, key = self._access()
        name = pods[0]["metadata"]["name"]
        kubectl = ["kubectl", "-n", SPACE, "exec", "-i", name, "--"]
        result = self._master().run(
            [*kubectl, "bash", "-ec", WRAPPER, "-", *argv],
            stdin=f"{hosts}\n{key}\n".encode() + data,
            timeout_s=timeout_s,
            check=False,
        )
        if result.code != 0:
            raise CommandFailed(name, tuple(argv), result.code, result.output)
        return result.output

    def ask(self, *arguments: str) -> Any:  # noqa: ANN401 (JSON)
        """Run `ceph … -f json`; return the decoded answer. Raises LabError if there is none."""
        output = self.run(["ceph", "--connect-timeout", "10", *arguments, "-f", "json"])
        begin = output.find("{")
        try:
            return json.JSONDecoder().raw_decode(output[begin:])[0]
        except ValueError as error:
            raise LabError(
                f"`ceph {' '.join(arguments)}` printed no JSON: {output[:200]}"
            ) from error

    def health(self) -> Health:
        """Ask for the health of the whole cluster."""
        status = self.ask("status")
        osds, pgs = status["osdmap"], status["pgmap"]
        states = {row["state_name"]: row["count"] for row in pgs.get("pgs_by_state", ())}
        return Health(
            status=status["health"]["status"],
            codes=tuple(sorted(status["health"]["checks"])),
            quorum=tuple(status["quorum_names"]),
            mgr=bool(status["mgrmap"]["available"]),
            osds_up=osds["num_up_osds"],
            osds_in=osds["num_in_osds"],
            osds=osds["num_osds"],
            pgs=pgs["num_pgs"],
            pgs_clean=states.get("active+clean", 0),
        )

    def put(self, node: str, name: str, data: bytes) -> str:
        """Write an object through a node; return its SHA-256. Raises LabError if that fails."""
        self.run(["rados", "-p", POOL, "put", name, "data"], node=node, data=data)
        return hashlib.sha256(data).hexdigest()

    def checksum(self, node: str, name: str) -> str:
        """Read an object through a node; return the SHA-256 that was computed there."""
        command = f"rados -p {POOL} get {name} out >/dev/null && sha256sum out"
        output = self.run(["bash", "-ec", command], node=node)
        checksum = re.search(r"^([0-9a-f]{64})  out$", output, re.MULTILINE)
        if checksum is None:
            raise LabError(f"reading {name} through {node} gave no checksum: {output[:200]}")
        return checksum[1]

    def remove(self, node: str, name: str) -> None:
        """Remove an object."""
        self.run(["rados", "-p", POOL, "rm", name], node=node)
