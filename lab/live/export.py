"""What one attaches to a bug report: the state of a lab as files, without its secrets.

What cannot be asked is listed in `problems.txt`. Nothing that is down ends the export.
"""

from __future__ import annotations

import json
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from lab import __version__
from lab.base.errors import LabError
from lab.base.redaction import without_secrets
from lab.live import active_faults, status
from lab.nodes import etcd
from lab.topology.model import Role, to_json, without_passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.engine.node import NodeHandle
    from lab.live.lab import Lab

PROBLEMS = "problems.txt"
JOURNAL_LINES = 3000
"""Of each node: an hour of a quiet one, the last minutes of one in trouble, some 400 KiB."""
JOURNAL_TIMEOUT_S = 30.0
OBJECTS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "daemonsets": "/apis/apps/v1/daemonsets",
    "deployments": "/apis/apps/v1/deployments",
    "leases": "/apis/coordination.k8s.io/v1/leases",
}
"""What Kubernetes knows, without Secrets and ConfigMaps: both may hold what is confidential."""
COMMANDS = {
    "crm_mon": ("crm_mon", "-1", "--inactive", "--show-detail"),
    "quorum": ("corosync-quorumtool", "-s"),
    "addresses": ("ip", "-br", "address"),
    "routes": ("ip", "route"),
}
"""Asked of every master that runs."""
ABOUT = ("ServerVersion", "OperatingSystem", "KernelVersion", "Architecture", "NCPU", "MemTotal")
ABOUT_STORAGE = ("Driver", "CgroupDriver", "CgroupVersion")


def collect(lab: Lab) -> dict[str, bytes]:
    """Return the files of an export: name → content. It asks side by side and changes nothing.

    The first question to the API decides whether it gets the others: a dead one would take its
    time-out for each.
    """
    first, *others = OBJECTS
    problems: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        futures = {_object_file(first): pool.submit(_objects, lab, OBJECTS[first])}
        futures |= {name: pool.submit(job) for name, job in _jobs(lab).items()}
        if _is_silence(futures[_object_file(first)].exception()):
            problems.append(f"{', '.join(others)}: not asked for, because the API does not answer")
        else:
            futures |= {
                _object_file(name): pool.submit(_objects, lab, OBJECTS[name]) for name in others
            }
    files: dict[str, bytes] = {}
    for name, future in futures.items():
        error = future.exception()
        if error is None:
            files[name] = without_secrets(future.result()).encode()
        else:  # even of a bug of ours: the other answers are still worth having
            problems.append(f"{name}: {error}")
    files[PROBLEMS] = without_secrets("".join(f"{line}\n" for line in problems)).encode()
    return files


def _object_file(name: str) -> str:
    return f"kubernetes/{name}.json"


def _is_silence(error: BaseException | None) -> bool:
    """Whether an error means that the API gave no answer, not even a refusal."""
    # Imported late: the library takes a quarter of a second, beside which nodes can be asked.
    from lab.kube.api import ApiError

    return isinstance(error, LabError) and not isinstance(error, ApiError)


def _jobs(lab: Lab) -> dict[str, Callable[[], str]]:
    observed = lab.observe()
    jobs: dict[str, Callable[[], str]] = {
        "versions.json": partial(_versions, lab),
        "topology.json": partial(to_json, without_passwords(lab.topology)),
        "status.json": lambda: _json(status.look(lab).to_dict()),
        "faults.json": partial(_faults, lab),
    }
    for node in lab.topology.containers:
        container = observed.container(node.name)
        handle = lab.node(node.name)
        if container is None or not container.running:
            state = "missing" if container is None else container.state
            jobs[f"nodes/{node.name}/state.txt"] = partial("{}\n".format, state)
            continue
        if node.role is not Role.BMC:
            jobs[f"nodes/{node.name}/journal.txt"] = partial(_journal, handle)
        if node.role is Role.MASTER:
            jobs |= _master_jobs(lab, handle)
    return jobs


def _master_jobs(lab: Lab, master: NodeHandle) -> dict[str, Callable[[], str]]:
    folder = f"nodes/{master.name}"
    jobs: dict[str, Callable[[], str]] = {
        f"{folder}/{name}.txt": partial(_output, master, argv) for name, argv in COMMANDS.items()
    }
    jobs[f"{folder}/etcd.json"] = partial(_etcd, lab, master)
    return jobs


def _journal(node: NodeHandle) -> str:
    argv = ["journalctl", "--no-pager", "-o", "short-iso-precise", "-n", str(JOURNAL_LINES)]
    return node.run(argv, check=False, timeout_s=JOURNAL_TIMEOUT_S).output


def _output(node: NodeHandle, argv: tuple[str, ...]) -> str:
    return node.run(argv, check=False).output


def _etcd(lab: Lab, master: NodeHandle) -> str:
    client = lab.distribution().etcd_client
    return _json(
        {
            "status": etcd.ask(master, client, "maintenance/status"),
            "members": [asdict(member) for member in etcd.members(master, client)],
        }
    )


def _objects(lab: Lab, path: str) -> str:
    with lab.cluster() as cluster:
        return _json([_plain(item) for item in cluster.get(path)["items"]])


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what repeats it, and without values of environment variables."""
    metadata = {
        key: value
        for key, value in item.get("metadata", {}).items()
        if key not in {"managedFields", "annotations"}
    }
    return {**_without_values(item), "metadata": metadata}


def _without_values(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, list):
        return [_without_values(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _without_values(inner) for key, inner in value.items()}
    if isinstance(value.get("env"), list):
        plain["env"] = [{"name": variable.get("name")} for variable in value["env"]]
    return plain


def _faults(lab: Lab) -> str:
    nodes = [lab.node(node.name) for node in lab.topology.machines]
    return _json([asdict(fault) for fault in active_faults.read(lab.engine, nodes)])


def _versions(lab: Lab) -> str:
    about: Mapping[str, Any] = lab.engine.about
    return _json(
        {
            "halab": __version__,
            "python": sys.version,
            "host": platform.platform(),
            "engine": {key: about.get(key) for key in (*ABOUT, *ABOUT_STORAGE)},
        }
    )


def _json(value: Any) -> str:  # noqa: ANN401 (any JSON value)
    return json.dumps(value, indent=1, default=str) + "\n"
