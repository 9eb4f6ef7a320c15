"""A reset goes back to the record: what is removed, put back and kept, in which order."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_api import FakeApi, SilentApi
from fake_engine import FakeEngine

from lab.base import locks
from lab.base.errors import LabError, WaitTimeout
from lab.base.wait import Observation
from lab.engine.labels import LABEL_INSTRUMENT
from lab.kube import inventory
from lab.lifecycle import clearing
from lab.lifecycle import reset as resetting
from lab.lifecycle.clearing import Clearing, is_kubernetes_own
from lab.live import baseline
from lab.live.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.lifecycle.reset_result import ResetResult

RBAC, CRDS = "rbac.authorization.k8s.io", "apiextensions.k8s.io"
SYSTEM = "kube-system"
STEADY = Observation(ok=True, detail="steady")


@pytest.fixture
def api() -> FakeApi:
    """A cluster as it is after a start."""
    made = FakeApi()
    for space in ("default", SYSTEM):
        made.add("Namespace", space)
        made.add("ServiceAccount", "default", space)
    made.add("Node", "m", spec={"podCIDR": "10.42.0.0/24"})
    made.add("ConfigMap", "coredns", SYSTEM, data={"Corefile": "."})
    made.add("Deployment", "coredns", SYSTEM, "apps", spec={"replicas": 2}, status={})
    made.add("Service", "kubernetes", "default", spec={"clusterIP": "10.43.0.1"})
    return made


@pytest.fixture
def lab(api: FakeApi, topology: Any, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A steady lab with that cluster, whose record was just taken."""

    @contextlib.contextmanager
    def lend(_: Any = None) -> Iterator[FakeApi]:
        yield api

    monkeypatch.setattr(Lab, "cluster", lend)
    monkeypatch.setattr(Lab, "access", lambda *_: SimpleNamespace(cluster=lend))
    monkeypatch.setattr(resetting.steady_state, "steady", lambda _: STEADY)
    monkeypatch.setattr(resetting._Resetting, "_working", lambda _: STEADY)
    addons = SimpleNamespace(ensure=lambda: (), disable=api.sent.append)
    monkeypatch.setattr(resetting._Resetting, "manager", addons)
    monkeypatch.setattr(resetting, "PAUSE_S", 0)
    monkeypatch.setattr(clearing, "EVERY_S", 0)
    made = Lab(FakeEngine(), topology)  # type: ignore[arg-type]
    resetting.record(made)
    return made


def reset(lab: Lab) -> ResetResult:
    return resetting.reset(lab)


def texts(keys: Any) -> set[str]:
    return {str(key) for key in keys}


# --- what goes, what comes back, what stays ---


def test_a_lab_that_nothing_was_done_to_stays_as_it_is(lab: Lab, api: FakeApi) -> None:
    api.sent.clear()
    assert not reset(lab).changed
    assert {line.split()[0] for line in api.sent} == {"GET"}


def test_what_was_made_since_goes_with_all_that_is_in_it(lab: Lab, api: FakeApi) -> None:
    before = set(api.objects)
    api.add("Namespace", "shop")
    api.add("ServiceAccount", "default", "shop")
    api.add("Deployment", "web", "shop", "apps")
    api.add("ConfigMap", "mine", "default")
    api.add("ClusterRole", "extra", group=RBAC)
    result = reset(lab)
    assert set(api.objects) == before
    assert texts(result.removed) == {
        "namespaces shop",
        "configmaps default/mine",
        f"clusterroles.{RBAC} extra",
    }
    assert result.contents == {"shop": 2}
    rows = {row["name"]: row.get("contents") for row in result.to_dict()["removed"]}
    assert rows == {"shop": 2, "mine": None, "extra": None}


def test_what_was_changed_or_removed_is_put_back(lab: Lab, api: FakeApi) -> None:
    api.add("Deployment", "coredns", SYSTEM, "apps", spec={"replicas": 0}, status={"x": 1})
    del api.objects[f"/api/v1/namespaces/{SYSTEM}/configmaps/coredns"]
    api.add("Node", "m", spec={"unschedulable": True}, metadata={"annotations": {"flannel": "x"}})
    result = reset(lab)
    deployment = api.objects[f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/coredns"]
    assert (deployment["spec"], deployment["status"]) == ({"replicas": 2}, {"x": 1})
    config = api.objects[f"/api/v1/namespaces/{SYSTEM}/configmaps/coredns"]
    assert config["data"] == {"Corefile": "."}
    node = api.objects["/api/v1/nodes/m"]
    assert node["spec"] == {"podCIDR": "10.42.0.0/24"}
    # Annotations of a node are kubelet's and the network's.
    assert node["metadata"]["annotations"] == {"flannel": "x"}
    assert texts(result.restored) == {
        f"deployments.apps {SYSTEM}/coredns",
        f"configmaps {SYSTEM}/coredns",
        "nodes m",
    }


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
MINE = {"key": "mine", "effect": "NoSchedule"}


def test_taints_of_a_nodes_conditions_are_no_change_and_stay(lab: Lab, api: FakeApi) -> None:
    spec = {"podCIDR": "10.42.0.0/24"}
    api.add("Node", "m", spec={**spec, "taints": [NOT_READY]})
    assert not reset(lab).changed
    api.add("Node", "m", spec={**spec, "unschedulable": True, "taints": [CORDON, MINE, NOT_READY]})
    assert texts(reset(lab).restored) == {"nodes m"}
    assert api.objects["/api/v1/nodes/m"]["spec"] == {**spec, "taints": [NOT_READY]}


def test_taints_of_a_nodes_conditions_are_not_recorded(lab: Lab, api: FakeApi) -> None:
    spec = {"podCIDR": "10.42.0.0/24"}
    api.add("Node", "m", spec={**spec, "taints": [MINE, NOT_READY]})
    resetting.record(lab)
    api.add("Node", "m", spec={**spec, "taints": [MINE]})
    assert not reset(lab).changed


def test_what_controllers_wrote_is_no_change(lab: Lab, api: FakeApi) -> None:
    revision = {"deployment.kubernetes.io/revision": "2"}
    api.add(
        "Deployment",
        "coredns",
        SYSTEM,
        "apps",
        spec={"replicas": 2},
        status={"readyReplicas": 2},
        metadata={"annotations": revision},
    )
    assert not reset(lab).changed


def test_what_cannot_be_replaced_is_made_again(lab: Lab, api: FakeApi) -> None:
    place = api.add("Deployment", "coredns", SYSTEM, "apps", spec={"replicas": 1})
    api.refuses[f"PUT {place}"] = 422
    assert texts(reset(lab).restored) == {f"deployments.apps {SYSTEM}/coredns"}
    assert api.objects[place]["spec"] == {"replicas": 2}
    assert f"POST {place.rsplit('/', 1)[0]}" in api.sent


def test_what_kept_objects_need_stays(lab: Lab, api: FakeApi) -> None:
    owner = api.objects[f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/coredns"]["metadata"]["uid"]
    set_ = api.add(
        "ReplicaSet", "r", SYSTEM, "apps", metadata={"ownerReferences": [{"uid": owner}]}
    )
    uid = api.objects[set_]["metadata"]["uid"]
    api.add("Pod", "coredns-1", SYSTEM, metadata={"ownerReferences": [{"uid": uid}]})
    api.add("Endpoints", "kubernetes", "default")
    api.add("ConfigMap", "kube-root-ca.crt", "default")
    label = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    api.add("ClusterRole", "system:late", group=RBAC, metadata={"labels": label})
    api.add("Event", "e", "default")
    assert not reset(lab).changed


def test_a_volume_goes_with_its_claim_and_stays_with_a_kept_one(api: FakeApi, lab: Lab) -> None:
    api.add("PersistentVolumeClaim", "kept", SYSTEM)
    resetting.record(lab)
    for name, space, claim in (("v1", SYSTEM, "kept"), ("v2", "default", "gone")):
        api.add("PersistentVolume", name, spec={"claimRef": {"namespace": space, "name": claim}})
    assert texts(reset(lab).removed) == {"persistentvolumes v2"}
    assert "v1" in api.names()


def test_a_kept_namespace_that_is_being_deleted_is_made_again(lab: Lab, api: FakeApi) -> None:
    api.add("Namespace", "infra")
    api.add("ConfigMap", "settings", "infra", data={"a": "b"})
    resetting.record(lab)
    api.request("DELETE", "/api/v1/namespaces/infra", {})
    reset(lab)
    assert "deletionTimestamp" not in api.objects["/api/v1/namespaces/infra"]["metadata"]
    assert api.objects["/api/v1/namespaces/infra/configmaps/settings"]["data"] == {"a": "b"}


def test_addons_that_were_enabled_since_are_disabled(lab: Lab, api: FakeApi) -> None:
    api.add("ConfigMap", "halab-addons", SYSTEM, data={"prometheus": '{"enabled": true}'})
    assert reset(lab).disabled == ["prometheus"]
    assert "prometheus" in api.sent


def test_what_is_recorded_later_is_gone_back_to(lab: Lab, api: FakeApi) -> None:
    api.add("Namespace", "operators")
    assert resetting.record(lab) > 0
    assert not reset(lab).changed


def test_preview_tells_the_same_and_changes_nothing(
    lab: Lab, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = SimpleNamespace(name="w1", state="exited")
    seen = SimpleNamespace(faults=("hang at m",), nodes=(off,), bmc="exited")
    monkeypatch.setattr(resetting.status, "look", lambda _: seen)
    api.add("Namespace", "shop")
    before = dict(api.objects)
    result = resetting.preview_reset(lab)
    assert (result.healed, result.powered_on) == (["hang at m"], ["w1", "bmc"])
    assert texts(result.removed) == {"namespaces shop"}
    assert api.objects == before


def test_what_k3s_includes_is_put_back_and_what_it_brings_later_stays(
    lab: Lab, api: FakeApi
) -> None:
    name, owner = baseline.PACKAGED
    own = {"annotations": {name: owner}}
    place = api.add("ConfigMap", "local-path-config", SYSTEM, data={"a": "1"}, metadata=own)
    gone = api.add("ClusterRole", "local-path", group=RBAC, metadata=own)
    resetting.record(lab)
    assert not reset(lab).changed
    api.add("ConfigMap", "local-path-config", SYSTEM, data={"a": "2"}, metadata=own)
    api.add("ConfigMap", "of-a-newer-k3s", SYSTEM, metadata=own)
    del api.objects[gone]
    assert texts(reset(lab).restored) == {
        f"configmaps {SYSTEM}/local-path-config",
        f"clusterroles.{RBAC} local-path",
    }
    assert api.objects[place]["data"] == {"a": "1"}
    assert api.objects[place]["metadata"]["annotations"] == {name: owner}
    assert "of-a-newer-k3s" in api.names()


# --- an API server that does not know yet what others know ---


def test_an_object_of_a_type_that_a_server_does_not_know_yet_is_named_and_goes(
    lab: Lab, api: FakeApi
) -> None:
    api.define("x.io", "Shop")
    api.add("Shop", "one", "default", "x.io")
    api.unaware["x.io"] = 2
    result = reset(lab)
    assert texts(result.removed) == {
        "shops.x.io default/one",
        f"{inventory.DEFINITIONS} shops.x.io",
    }
    assert not {"one", "shops.x.io"} & api.names()


def test_a_preview_waits_for_a_server_that_does_not_know_a_type_yet(
    lab: Lab, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SimpleNamespace(faults=(), nodes=(), bmc="running")
    monkeypatch.setattr(resetting.status, "look", lambda _: seen)
    api.define("x.io", "Shop")
    api.add("Shop", "one", "default", "x.io")
    api.unaware["x.io"] = 2
    removed = texts(resetting.preview_reset(lab).removed)
    assert removed == {"shops.x.io default/one", f"{inventory.DEFINITIONS} shops.x.io"}


def test_what_is_defined_before_the_record_is_in_it_whoever_is_asked(
    lab: Lab, api: FakeApi
) -> None:
    api.define("x.io", "Shop")
    api.add("Shop", "one", "default", "x.io")
    api.unaware["x.io"] = 2
    resetting.record(lab)
    assert not reset(lab).changed


def test_a_type_whose_definition_goes_or_is_not_established_has_no_objects() -> None:
    api = FakeApi()
    api.define("x.io", "Shop")
    api.unaware["x.io"] = 100
    place = f"/apis/apiextensions.k8s.io/v1/{inventory.DEFINITIONS.split('.')[0]}/shops.x.io"
    known: list[str] = []
    assert [one.name for one in inventory.late_types(api, known, ["shops.x.io"])] == ["shops.x.io"]  # type: ignore[arg-type]
    api.objects[place]["metadata"]["deletionTimestamp"] = "now"
    assert not inventory.late_types(api, known, ["shops.x.io"])  # type: ignore[arg-type]
    del api.objects[place]["metadata"]["deletionTimestamp"]
    api.objects[place]["status"] = {}
    assert not inventory.late_types(api, known, ["shops.x.io", "never.x.io"])  # type: ignore[arg-type]


# --- order, finalizers ---


def test_custom_objects_go_before_their_operators_and_definitions(lab: Lab, api: FakeApi) -> None:
    api.custom["x.io"] = "v1 Shop"
    api.add("CustomResourceDefinition", "shops.x.io", group=CRDS)
    api.add("Namespace", "operator")
    api.add("Shop", "one", "default", "x.io")
    group = "admissionregistration.k8s.io"
    api.add("ValidatingWebhookConfiguration", "hook", group=group)
    api.sent.clear()
    reset(lab)
    deleted = [line.rsplit("/", 1)[-1] for line in api.sent if line.startswith("DELETE")]
    assert [name for name in deleted if name != "events"] == [
        "hook",
        "one",
        "operator",
        "shops.x.io",
    ]


def clear(api: FakeApi, *, until_s: float) -> None:
    """Remove everything; each look at the clock is a second later."""
    found = inventory.listing(api, inventory.resource_types(api), lambda _: True)  # type: ignore[arg-type]
    times = iter(range(10_000))
    made = Clearing(api, SimpleNamespace(say=lambda *_: None), "x", clock=lambda: next(times))  # type: ignore[arg-type]
    made.clear(list(found.objects.values()), {"shops.x.io"})
    assert next(times) >= until_s


@pytest.mark.parametrize(
    ("finalizer", "patience"),
    [("x.io/wait", clearing.CUSTOM_PATIENCE_S), ("foregroundDeletion", clearing.OWN_PATIENCE_S)],
)
def test_finalizers_that_nobody_sees_to_are_taken_away(
    finalizer: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "EVERY_S", 0)
    api = FakeApi()
    api.add("ConfigMap", "held", "default", metadata={"finalizers": [finalizer]})
    clear(api, until_s=patience)
    assert not api.objects


def test_a_pod_is_given_a_second_and_goes_after_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "EVERY_S", 0)
    api = FakeApi()
    api.add("Namespace", "shop")
    bodies: dict[str, Any] = {}
    own = api._delete

    def keep(path: str, body: Any, accept: str) -> Any:
        bodies[path] = body
        return own(path, body, accept)

    api._delete = keep  # type: ignore[method-assign]
    api.add("Pod", "p", "shop")
    api.add("Deployment", "web", "shop", "apps")
    clear(api, until_s=0)
    assert not api.objects
    order = [path.rsplit("/", 1)[-1] for path in bodies]
    assert order == ["shop", "web", "p", "events"]
    assert bodies["/api/v1/namespaces/shop/pods/p"]["gracePeriodSeconds"] == 1
    assert "PUT /api/v1/namespaces/shop/finalize" in api.sent


def test_what_does_not_go_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clearing, "STAGE_TIMEOUT_S", 0)
    api = FakeApi(refuses={"DELETE": 403})
    api.add("ConfigMap", "held", "default")
    with pytest.raises(WaitTimeout, match=r"configmaps default/held: .*refused"):
        clear(api, until_s=0)


@pytest.mark.parametrize(
    ("finalizer", "own"),
    [
        ("kubernetes", True),
        ("kubernetes.io/pvc-protection", True),
        ("service.kubernetes.io/load-balancer-cleanup", True),
        ("customresourcecleanup.apiextensions.k8s.io", True),
        ("example.com/wait", False),
        ("notkubernetes.io/x", False),
    ],
)
def test_whose_a_finalizer_is(finalizer: str, own: bool) -> None:  # noqa: FBT001
    assert is_kubernetes_own(finalizer) is own


# --- what is refused ---


def test_a_lab_without_a_record_is_not_touched(lab: Lab, api: FakeApi) -> None:
    del api.objects[baseline.PATH]
    api.add("Namespace", "shop")
    before = dict(api.objects)
    with pytest.raises(LabError, match="has no record") as caught:
        reset(lab)
    assert "--record" in caught.value.hint
    assert api.objects == before


@pytest.mark.parametrize("text", ["", "bm90IGd6aXA="])
def test_a_record_that_cannot_be_read_is_told(lab: Lab, api: FakeApi, text: str) -> None:
    api.objects[baseline.PATH]["data"] = {baseline.DATA: text}
    with pytest.raises(baseline.NoRecord):
        reset(lab)


def test_a_lab_that_is_being_measured_is_left_alone(lab: Lab, api: FakeApi) -> None:
    api.add("Namespace", "shop")
    with locks.alone(lab.name, "scenario crash"), pytest.raises(LabError, match="scenario crash"):
        reset(lab)
    assert "shop" in api.names()


def test_what_a_run_has_in_the_cluster_is_not_recorded(lab: Lab) -> None:
    with locks.alone(lab.name, "scenario crash"), pytest.raises(LabError, match="scenario crash"):
        resetting.record(lab)


def test_what_comes_again_and_again_ends_the_reset(lab: Lab, api: FakeApi) -> None:
    place = api.add("ConfigMap", "coredns", SYSTEM, data={"Corefile": "other"})
    api.refuses[f"PUT {place}"] = 403
    with pytest.raises(LabError, match=r"configmaps kube-system/coredns: PUT .*refused"):
        reset(lab)


def test_an_api_that_cannot_list_its_types_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi()
    monkeypatch.setattr(api, "request", lambda *_, **__: {"kind": "APIGroupList"})
    with pytest.raises(LabError, match="aggregated discovery"):
        inventory.resource_types(api)  # type: ignore[arg-type]


def test_a_type_that_cannot_be_listed_is_no_empty_one() -> None:
    api = FakeApi(refuses={"GET /api/v1/secrets": 500, "GET /api/v1/pods": 404})
    found = inventory.listing(api, inventory.resource_types(api), lambda _: False)  # type: ignore[arg-type]
    assert [each.name for each in found.unlisted] == ["secrets"]


# --- faults ---


def test_faults_are_healed_before_the_cluster_is_asked(
    lab: Lab, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    seen = iter([False, False, True])
    monkeypatch.setattr(
        resetting.steady_state,
        "steady",
        lambda _: STEADY if next(seen, True) else Observation(ok=False, detail="m is exited"),
    )
    active = SimpleNamespace(fault="hang", node="m")
    monkeypatch.setattr(resetting.LabFaults, "active", lambda _: (active,))
    monkeypatch.setattr(resetting.Healer, "heal", lambda *_: log.append("heal"))
    monkeypatch.setattr(resetting.Healer, "rejoin", lambda *_: log.append("rejoin"))
    plan = SimpleNamespace(subjects=lambda *_: ("w1",))
    monkeypatch.setattr(
        resetting, "start_again", lambda _: log.append("start") or SimpleNamespace(plan=plan)
    )
    result = reset(lab)
    assert log == ["heal", "rejoin", "start"]
    assert (result.healed, result.powered_on) == (["hang at m"], ["w1"])


def test_a_lab_that_was_removed_meanwhile_is_not_made_anew(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = Observation(ok=False, detail="m is missing")
    monkeypatch.setattr(resetting.steady_state, "steady", lambda _: off)
    monkeypatch.setattr(resetting.LabFaults, "active", lambda _: ())
    with pytest.raises(LabError, match="was removed meanwhile"):
        reset(lab)


def test_what_a_killed_run_left_is_removed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(resetting.leftovers, "remove", lambda own, _: removed.append(own.name))
    reset(lab)
    assert removed == []
    lab.engine.add("agent", lab.name, **{LABEL_INSTRUMENT: "1"})  # type: ignore[attr-defined]
    reset(lab)
    assert removed == [lab.name]


def test_a_silent_api_is_no_missing_record(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def lend(_: Any) -> Iterator[FakeApi]:
        yield SilentApi()

    monkeypatch.setattr(Lab, "cluster", lend)
    assert not reset(lab).changed


@pytest.mark.parametrize(
    ("state", "whole"),
    [
        ({"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2}, False),
        ({"observedGeneration": 2, "readyReplicas": 1, "updatedReplicas": 2}, False),
        ({"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2}, True),
        ({"observedGeneration": 2, "desiredNumberScheduled": 3, "numberReady": 2}, False),
    ],
)
def test_when_a_workload_is_complete(state: dict[str, int], whole: bool) -> None:  # noqa: FBT001
    item = {"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": state}
    assert resetting.complete(item) is whole
