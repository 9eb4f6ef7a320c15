"""The last steps of a start: find the way to the API, wait until the lab or one node works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.addons.manager import AddonManager
from lab.base.errors import LabError
from lab.base.profile import measured
from lab.engine.labels import LABEL_NODE
from lab.lifecycle.plan import Action
from lab.lifecycle.readiness import Readiness
from lab.live.access import Access, Credentials
from lab.live.status import StatusQuery
from lab.nodes.ha import crm_mon

if TYPE_CHECKING:
    from lab.kube.api import KubeApi
    from lab.lifecycle.start_context import Context


def find_access(start: Context) -> None:
    """Find the way to the API. The masters of an unchanged lab tell it, in `await_lab`."""
    lab, distribution = start.lab, start.distribution
    if start.plan.empty and not start.node:
        return
    if start.secrets is None:
        start.access = lab.access(distribution)
        return
    credentials = Credentials.of_secrets(distribution, start.secrets)
    start.access = Access(distribution, credentials, lab.port())


def await_lab(start: Context) -> None:
    """Wait until all of the lab works, and bring up its add-ons."""
    if start.plan.empty:
        _check_unchanged(start)
    else:
        _await_all(start)


def _check_unchanged(start: Context) -> None:
    """Await a lab that runs, and ask for its status meanwhile: each master is asked once for both.

    If it had to be waited for, or something was done, that status is not the lab's any more.
    """
    lab = start.lab
    more = crm_mon.ASK_UNIT if lab.topology.ha.fencing else ()
    with StatusQuery(lab, start.observed, more=more) as query:
        start.access = query.access()
        if _await_all(start, query):
            start.status = query.status()


def _await_all(start: Context, status_query: StatusQuery | None = None) -> bool:
    """Wait until all works; return whether it did at once, and nothing was changed."""
    lab, access = start.lab, _known_access(start)
    booted = start.plan.subjects(Action.BOOT, Action.START)
    with access.cluster() as cluster:
        ready = Readiness(
            lab, access, cluster, booted=booted, since=start.since, status_query=status_query
        )
        ready.wait(start.timeout_s)
        addons = AddonManager(start.builder, ready.site, lab.reporter, lab.cancelled)
        results = addons.ensure()
        # Only of a new cluster: what users made is never recorded unasked.
        if {node.name for node in lab.topology.masters} <= set(start.plan.subjects(Action.BOOT)):
            _record(start, cluster, addons)
    return ready.at_once and not any(result.changed for result in results)


def _record(start: Context, cluster: KubeApi, addons: AddonManager) -> None:
    """Record what a new cluster holds: `reset` goes back to it. Without it all else works."""
    # Imported late, as the API's client is.
    from lab.live import baseline

    lab = start.lab
    try:
        with measured(start.profile, "record"):
            baseline.record(cluster, addons.enabled())
    except LabError as error:
        lab.reporter.say(lab.name, f"cannot be reset, because nothing is recorded: {error.message}")


def await_node(start: Context) -> None:
    """Wait until the node is Ready, if there is a cluster to be Ready in."""
    lab, name = start.lab, start.node
    if start.plan.empty:
        return
    if reason := _no_cluster(start):
        lab.reporter.done(name, f"booted; the cluster is not awaited: {reason}")
        return
    find_access(start)
    access = _known_access(start)
    awaited = tuple(node.name for node in lab.topology.nodes if node.name == name)
    with access.cluster() as cluster:
        ready = Readiness(lab, access, cluster, only=awaited, booted=awaited, since=start.since)
        ready.wait(start.timeout_s)
        AddonManager(start.builder, ready.site, lab.reporter, lab.cancelled).images(*awaited)


def _known_access(start: Context) -> Access:
    if start.access is None:
        raise AssertionError("nothing is awaited before `find_access`")
    return start.access


def _no_cluster(start: Context) -> str:
    """Return why there is no cluster to wait for; empty if there is one."""
    topology = start.lab.topology
    observed = start.lab.observe().containers
    running = {container.labels.get(LABEL_NODE) for container in observed if container.running}
    masters = [node for node in topology.masters if node.name in running]
    if len(masters) <= len(topology.masters) // 2:
        return "most masters do not run"
    if topology.loadbalancer.name not in running:
        return "the load balancer does not run"
    return ""
