"""`halab reset`: a lab goes back to what it was when its first start had ended.

Faults are healed and machines powered on; then the cluster is compared with its record, as often as
it takes until nothing differs. A reset that was killed is completed by the next one.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.addons import addon, catalog
from lab.addons import record as addonrecord
from lab.addons.manager import AddonManager
from lab.base.errors import LabError
from lab.base.locks import alone, exclusive
from lab.base.wait import Observation, tried, until
from lab.chaos.healing import Healer
from lab.chaos.lab_faults import LabFaults
from lab.kube import inventory
from lab.kube.api import CONFLICT, NOT_FOUND, UNPROCESSABLE, WRITE_TIMEOUT_S, ApiError
from lab.kube.inventory import DEFINITIONS
from lab.lifecycle.clearing import MEDDLING, Clearing
from lab.lifecycle.plan import Action
from lab.lifecycle.reset_result import ResetResult
from lab.lifecycle.start import start_again
from lab.live import baseline, status, steady_state
from lab.measure import leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.kube.api import KubeApi
    from lab.kube.inventory import ObjectKey, ResourceType, StoredObject
    from lab.live.access import Access
    from lab.live.baseline import Baseline, BaselineObject
    from lab.live.lab import Lab

STEADY_TIMEOUT_S = 180.0
WORKING_TIMEOUT_S = 120.0
"""For workloads that were put back; a pod that is made again takes seconds."""
ROUNDS = 8
"""Two are the rule: the second one finds nothing. A type that was put back takes some more until
the API serves it; what needs all of them is made again by somebody."""
PAUSE_S = 0.3
"""After the second round; each further one is as much longer."""
FIRST = ("namespaces", DEFINITIONS)
"""Types that are put back before what needs them."""
WORKLOADS = ("deployments", "daemonsets", "statefulsets")
NEVER_REPLACED = {"namespaces", "nodes", DEFINITIONS}
"""What is not deleted to be made again: all that hangs on it would go."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, by one look at the cluster."""

    surplus: tuple[StoredObject, ...]
    altered: tuple[tuple[StoredObject, dict[str, Any]], ...]
    """Live objects, each with what is put in its place."""
    missing: tuple[BaselineObject, ...]
    types: dict[str, ResourceType]
    definitions: frozenset[str]
    unlisted: dict[ResourceType, str]

    @property
    def done(self) -> bool:
        """Whether nothing differs, as far as it could be seen."""
        return not (self.surplus or self.altered or self.missing)


def record(lab: Lab) -> int:
    """Record what the cluster holds now, in place of what it held after the start.

    Return how many objects. Raises LabError, also if the lab is being measured: what a run has in
    the cluster would be recorded, too.
    """
    with (
        alone(lab.name, "reset --record"),
        exclusive(lab.name, lab.reporter),
        lab.cluster() as cluster,
    ):
        rows = addonrecord.Record(cluster).rows()
        return baseline.record(cluster, addonrecord.enabled(lab.topology.addons, rows))


def reset(lab: Lab) -> ResetResult:
    """Bring a lab back to what it was after its start; return what was done.

    Raises LabError without a record, and if the lab is being measured, before anything is changed;
    WaitTimeout if it does not get there.
    """
    begin, result = time.monotonic(), ResetResult(lab.name)
    with alone(lab.name, "reset"):
        _require_record(lab)
        _make_whole(lab, result)
        _remove_leftovers(lab)
        with exclusive(lab.name, lab.reporter):
            access = lab.access()
            with access.cluster() as cluster:
                _Resetting(lab, access, cluster, result).run()
        if result.healed or any(key.resource == "nodes" for key in result.restored):
            _await_steady(lab)
    result.seconds = time.monotonic() - begin
    lab.reporter.done(lab.name, f"as it was after its start ({result.seconds:.1f} s)")
    return result


def preview_reset(lab: Lab) -> ResetResult:
    """Return what a reset would do; changes nothing. Raises LabError if the API is silent."""
    result = ResetResult(lab.name)
    now = status.look(lab)
    result.healed = list(now.faults)
    states = {row.name: row.state for row in now.nodes} | {lab.topology.bmc.name: now.bmc}
    result.powered_on = [name for name, state in states.items() if state != "running"]
    access = lab.access()
    with access.cluster() as cluster:
        resetting = _Resetting(lab, access, cluster, result)
        resetting.note(resetting.settled_look())
        result.disabled = resetting.enabled_since()
    return result


def _require_record(lab: Lab) -> None:
    """Raise NoRecord if the cluster has none. One that is silent is made whole first."""
    try:
        with lab.cluster() as cluster:
            baseline.read(cluster, lab.name)
    except baseline.NoRecord:
        raise
    except LabError as error:
        lab.reporter.say(lab.name, error.message.splitlines()[0])


def _make_whole(lab: Lab, result: ResetResult) -> None:
    """Heal every fault, power on what is off, wait until the lab is steady."""
    if steady_state.steady(lab).ok:
        return
    faults = LabFaults(lab)
    healer = Healer(faults)
    active = faults.active()
    if active:
        result.healed = [f"{one.fault} at {one.node}" for one in active]
        lab.reporter.say(lab.name, f"healing {', '.join(result.healed)}")
        healer.heal(active)
        healer.rejoin(active, lambda text: lab.reporter.say(lab.name, text))
    if not steady_state.steady(lab).ok:
        started = start_again(lab)
        result.powered_on = list(started.plan.subjects(Action.START, Action.BOOT))
    _await_steady(lab)


def _remove_leftovers(lab: Lab) -> None:
    """Remove what a killed run left to measure the lab: its agent goes on asking until then.

    Nobody measures now: the caller is `alone`.
    """
    if leftovers.agents(lab):
        lab.reporter.say(lab.name, "removing what a killed run left")
        leftovers.remove(lab, lambda text: lab.reporter.say(lab.name, text))


def _await_steady(lab: Lab) -> None:
    until(
        f"lab {lab.name} is steady",
        lambda: steady_state.steady(lab),
        timeout_s=STEADY_TIMEOUT_S,
        on_change=lambda text: lab.reporter.say(lab.name, text),
        cancelled=lab.cancelled,
    )


@dataclass(slots=True)
class _Resetting:
    """Brings the objects of one cluster back."""

    lab: Lab
    access: Access
    cluster: KubeApi
    result: ResetResult
    record: Baseline = field(init=False)
    _failed: dict[ObjectKey, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.record = baseline.read(self.cluster, self.lab.name)

    @property
    def manager(self) -> AddonManager:
        """Manages the lab's add-ons."""
        lab = self.lab
        return AddonManager(lab.builder(), self.site, lab.reporter, lab.cancelled)

    @property
    def site(self) -> addon.AddonContext:
        """Where add-ons work."""
        return addon.AddonContext(self.lab.topology, self.access, self.cluster, self.lab.node)

    def run(self) -> None:
        """Compare and put right until nothing differs; then wait until what was put back works."""
        for name in self.enabled_since():
            self.manager.disable(name)
            self.result.disabled.append(name)
        for count in range(ROUNDS):
            self.lab.cancelled.wait(count and PAUSE_S * (count - 1))
            work = self.settled_look()
            if work.done and not work.unlisted:
                break
            self.note(work)
            self._carry_out(work)
        else:
            raise self._endless(work)
        if self.result.healed or self.result.restored:
            self.manager.ensure()
        self._await_working()

    def enabled_since(self) -> list[str]:
        """Return the add-ons that are enabled and were not."""
        rows = addonrecord.Record(self.cluster).rows()
        now = addonrecord.enabled(self.lab.topology.addons, rows)
        return [name for name in now if name not in self.record.addons and name in catalog.names()]

    def settled_look(self) -> Work:
        """Compare, and again while an API server does not know a new type yet.

        Until then its objects have no names, and would go after their operators.
        """
        for count in range(ROUNDS):
            self.lab.cancelled.wait(PAUSE_S * count)
            work = self.look()
            if inventory.NOT_SERVED not in work.unlisted.values():
                break
        for each, why in work.unlisted.items():
            self.lab.reporter.say(self.lab.name, f"{each.name} cannot be listed: {why}")
        return work

    def look(self) -> Work:
        """Compare the cluster with its record."""
        types, listing = inventory.everything(
            self.cluster, baseline.is_listed, baseline.is_needed_whole
        )
        differs = baseline.difference(self.record, listing)
        with ThreadPoolExecutor(inventory.WORKERS) as pool:
            answers = list(pool.map(self._altered, differs.suspects))
        return Work(
            surplus=differs.surplus,
            altered=tuple(answer for answer in answers if answer is not None),
            missing=differs.missing,
            types={each.name: each for each in types},
            definitions=frozenset(
                key.name for key in listing.objects if key.resource == DEFINITIONS
            ),
            unlisted=listing.unlisted,
        )

    def _altered(self, row: StoredObject) -> tuple[StoredObject, dict[str, Any]] | None:
        """Return an object, and what is put in its place; None if it is as it was, or gone."""
        item = self.cluster.find(row.path)
        if item is None:
            return None
        live = inventory.StoredObject(row.type, item)
        body = baseline.restored(self.record.objects[row.key], live)
        return None if body is None else (live, body)

    def note(self, work: Work) -> None:
        """Remember what is done."""
        self.result.note(work.surplus)
        back = [live.key for live, _ in work.altered] + [row.key for row in work.missing]
        self.result.restored += [key for key in back if key not in self.result.restored]

    # --- what is done ---

    def _carry_out(self, work: Work) -> None:
        self._failed.clear()
        lab = self.lab
        clearing = Clearing(self.cluster, lab.reporter, lab.name, lab.cancelled)
        meddling = [row for row in work.surplus if row.type.group in MEDDLING]
        clearing.clear(meddling, work.definitions)
        self._put_back(work)
        others = [row for row in work.surplus if row.type.group not in MEDDLING]
        clearing.clear(others, work.definitions)

    def _put_back(self, work: Work) -> None:
        """Make what is missing, replace what was changed. A refusal is left to a later round."""
        for wave in _waves(work.missing):
            with ThreadPoolExecutor(inventory.WORKERS) as pool:
                list(pool.map(lambda row: self._make(row, work.types), wave))
        with ThreadPoolExecutor(inventory.WORKERS) as pool:
            list(pool.map(lambda pair: self._replace(*pair), work.altered))

    def _make(self, row: BaselineObject, types: dict[str, ResourceType]) -> None:
        known = types.get(row.key.resource)
        if known is None:
            self._failed[row.key] = "the API does not know its type"
            return
        self._send(row.key, "POST", known.path(row.key.namespace), row.body)

    def _replace(self, live: StoredObject, body: dict[str, Any]) -> None:
        """Put an object in a live one's place; where a field forbids that, the live one goes."""
        status = self._send(live.key, "PUT", live.path, body)
        if status == UNPROCESSABLE and live.key.resource not in NEVER_REPLACED:
            self._send(live.key, "DELETE", live.path, {"propagationPolicy": "Background"})

    def _send(self, key: ObjectKey, method: str, path: str, body: Any) -> int:  # noqa: ANN401
        """Send a change; return the status of a refusal, which is remembered, or 0."""
        try:
            self.cluster.request(method, path, body, timeout_s=WRITE_TIMEOUT_S)
        except ApiError as error:
            if error.status not in {CONFLICT, NOT_FOUND}:
                self._failed[key] = error.message
            return error.status
        return 0

    def _endless(self, work: Work) -> LabError:
        left = [row.key for row in work.surplus]
        left += [live.key for live, _ in work.altered]
        left += [row.key for row in work.missing]
        lines = [f"{key}: {self._failed.get(key, 'differs again and again')}" for key in left[:5]]
        lines += [f"{each.name} cannot be listed: {why}" for each, why in work.unlisted.items()]
        return LabError(
            f"lab {self.lab.name} is not what it was after {ROUNDS} rounds:\n" + "\n".join(lines),
            "something outside the cluster may change it; end that, and reset again",
        )

    # --- what is awaited ---

    def _await_working(self) -> None:
        """Wait until the workloads that stay are complete."""
        until(
            f"what runs on lab {self.lab.name} works again",
            lambda: tried(self._working),
            timeout_s=WORKING_TIMEOUT_S,
            every_s=0.3,
            on_change=lambda text: self.lab.reporter.say(self.lab.name, text),
            cancelled=self.lab.cancelled,
        )

    def _working(self) -> Observation:
        lacking = list(self._lacking())
        if lacking:
            return Observation(ok=False, detail=", ".join(lacking[:3]))
        if self.result.restored or self.result.healed:
            for name in self.lab.topology.addons:
                each = catalog.find(name)
                if each.core and not (state := each.ready(self.site)).ok:
                    return state
        return Observation(ok=True, detail="complete")

    def _lacking(self) -> Iterator[str]:
        for plural in WORKLOADS:
            for item in self.cluster.get(f"/apis/apps/v1/{plural}")["items"]:
                if not complete(item):
                    metadata = item["metadata"]
                    yield f"{metadata['namespace']}/{metadata['name']} is not complete"


def complete(item: dict[str, Any]) -> bool:
    """Whether a Deployment, DaemonSet or StatefulSet has all its pods, of its newest kind."""
    state = item.get("status", {})
    if state.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return False
    if "desiredNumberScheduled" in state:
        desired = state["desiredNumberScheduled"]
        updated = state.get("updatedNumberScheduled", 0)
        return bool(min(state.get("numberReady", 0), updated) >= desired)
    desired = item["spec"].get("replicas", 1)
    updated = state.get("updatedReplicas", 0)
    return bool(min(state.get("readyReplicas", 0), updated) >= desired)


def _waves(missing: tuple[BaselineObject, ...]) -> list[list[BaselineObject]]:
    first = [row for row in missing if row.key.resource in FIRST]
    return [first, [row for row in missing if row not in first]]
